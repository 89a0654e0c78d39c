function Rows({ rows }) {
  return (
    <table className="ts-table">
      <tbody>
        {rows.map((row) => (
          <tr key={row.name}>
            <th scope="row">{row.label}</th>
            <td>{row.value}</td>
            <td className="ts-origin">{row.origin}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Section({ section }) {
  if (!section.is_folded) {
    return (
      <div className="ts-section">
        {section.title ? <h5>{section.title}</h5> : null}
        <Rows rows={section.rows} />
      </div>
    )
  }
  return (
    <details className="ts-section">
      <summary>
        <h5>{section.title}</h5>
        <span className="ts-count">{section.rows.length}</span>
      </summary>
      <Rows rows={section.rows} />
    </details>
  )
}

function Caution({ caution, about, press, pressed }) {
  const remedy = caution.remedy
  return (
    <div className={`ts-caution ts-tone-${caution.tone}`} role={caution.tone === "bad" ? "alert" : undefined}>
      <Words text={caution.text} />{" "}
      {remedy ? (
        <button
          type="button"
          className="ts-link"
          disabled={pressed !== null}
          onClick={() => press({ say: remedy.say, label: remedy.label, about })}
        >
          {remedy.label}
        </button>
      ) : null}
    </div>
  )
}

function Review({ id, title, subtitle, sections, warnings, choices, act }) {
  const [pressed, press] = usePress(act, [sections, warnings, choices])
  return (
    <Card title={title} subtitle={subtitle}>
      {sections.map((section, index) => (
        <Section key={index} section={section} />
      ))}
      {warnings.map((caution, index) => (
        <Caution key={index} caution={caution} about={id} press={press} pressed={pressed} />
      ))}
      <Choices choices={choices} press={press} pressed={pressed} about={id} />
    </Card>
  )
}

export default show("Review", Review)
