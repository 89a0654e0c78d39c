function Listing({ title, items, empty, choices, act }) {
  const [pressed, press] = usePress(act, [items, choices])
  return (
    <Card title={title}>
      {items.length ? (
        <ul className="ts-items">
          {items.map((item, index) => (
            <li key={index}>
              <div className="ts-item">
                <b>{item.title}</b>
                {item.detail ? (
                  <span>
                    <Words text={item.detail} />
                  </span>
                ) : null}
              </div>
              {item.status ? <span className={`ts-status ts-tone-${item.tone}`}>{item.status}</span> : null}
              <Choices choices={item.choices} press={press} pressed={pressed} isQuiet />
            </li>
          ))}
        </ul>
      ) : (
        <p className="ts-para">
          <Words text={empty} />
        </p>
      )}
      <Choices choices={choices} press={press} pressed={pressed} />
    </Card>
  )
}

export default show("Listing", Listing)
