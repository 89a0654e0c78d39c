function Comparison({ intro, base_label, tuned_label, rows, note }) {
  return (
    <>
      {intro ? (
        <p className="ts-intro">
          <Words text={intro} />
        </p>
      ) : null}
      <Card>
        {rows.map((row, index) => (
          <div key={index} className="ts-compared">
            <p className="ts-label">{row.question}</p>
            <div className="ts-columns">
              <div>
                <h5>{base_label}</h5>
                <Rich text={row.base} />
              </div>
              <div className="ts-tuned">
                <h5>{tuned_label}</h5>
                <Rich text={row.tuned} />
              </div>
            </div>
          </div>
        ))}
        {note ? (
          <p className="ts-note">
            <Words text={note} />
          </p>
        ) : null}
      </Card>
    </>
  )
}

export default show("Comparison", Comparison)
