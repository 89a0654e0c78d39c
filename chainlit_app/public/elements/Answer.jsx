function Answer({ state, note, choices, act }) {
  const [pressed, press] = usePress(act, [state, choices])
  return (
    <div className={`ts-answer ts-is-${state}`}>
      {note ? (
        <p className={state === "failed" ? "ts-note ts-tone-bad" : "ts-note"}>
          <Words text={note} />
        </p>
      ) : null}
      <Choices choices={choices} press={press} pressed={pressed} isMoving={state === "streaming"} isQuiet />
    </div>
  )
}

export default show("Answer", Answer)
