function Text({ choices, tone, act }) {
  const [pressed, press] = usePress(act, choices)
  return (
    <div className={`ts-text ts-tone-${tone}`}>
      <Choices choices={choices} press={press} pressed={pressed} />
    </div>
  )
}

export default show("Text", Text)
