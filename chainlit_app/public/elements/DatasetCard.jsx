function Sample({ segments }) {
  return (
    <pre className="ts-sample" tabIndex="0">
      {segments.map((segment, index) =>
        segment.is_learned ? <mark key={index}>{segment.text}</mark> : <span key={index}>{segment.text}</span>
      )}
    </pre>
  )
}

const FIRST_PROBLEMS = 5

function Problems({ problems, moreLabel, lessLabel }) {
  const [isOpen, setOpen] = useState(false)
  const shown = isOpen ? problems : problems.slice(0, FIRST_PROBLEMS)
  const more = problems.length - FIRST_PROBLEMS
  if (!problems.length) return null
  return (
    <>
      <ul className="ts-problems">
        {shown.map((problem, index) => (
          <li key={index}>
            <Words text={problem} />
          </li>
        ))}
      </ul>
      {more > 0 ? (
        <button type="button" className="ts-link" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? lessLabel : moreLabel.replace("{n}", more)}
        </button>
      ) : null}
    </>
  )
}

function DatasetCard(card) {
  const { title, subtitle, facts, problems, more_label, less_label, notes, samples_label, samples, choices, act } = card
  const [pressed, press] = usePress(act, choices)
  return (
    <Card title={title} subtitle={subtitle}>
      <ul className="ts-facts">
        {facts.map((fact, index) => (
          <li key={index} className={`ts-tone-${fact.tone}`}>
            <b>{fact.value}</b> {fact.label}
          </li>
        ))}
      </ul>
      <Problems problems={problems} moreLabel={more_label} lessLabel={less_label} />
      {notes.map((note, index) => (
        <p key={index} className="ts-para">
          <Words text={note} />
        </p>
      ))}
      {samples.length ? <p className="ts-label">{samples_label}</p> : null}
      {samples.map((segments, index) => (
        <Sample key={index} segments={segments} />
      ))}
      <Choices choices={choices} press={press} pressed={pressed} />
    </Card>
  )
}

export default show("DatasetCard", DatasetCard)
