function Question({ id, choices, hints, answered, act }) {
  const [pressed, press] = usePress(act, [answered, choices])
  if (answered !== null) {
    return (
      <p className="ts-answered">
        <span aria-hidden="true">✓</span> <Words text={answered} />
      </p>
    )
  }
  return (
    <div className="ts-question">
      <Choices choices={choices} press={press} pressed={pressed} about={id} isNumbered />
      <Choices choices={hints} press={press} pressed={pressed} about={id} isQuiet />
    </div>
  )
}

export default show("Question", Question)
