const HEIGHT = 180
const MARGIN = { top: 10, right: 12, bottom: 38, left: 46 }

// Round steps (1, 2, 5 times a power of ten) between two numbers.
function ticks(low, high, most) {
  const span = high - low || Math.abs(high) || 1
  const power = 10 ** Math.floor(Math.log10(span / most))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => span / step <= most)
  const found = []
  for (let at = Math.ceil(low / step); at * step <= high + step / 1e6; at++) found.push(Number((at * step).toPrecision(6)))
  return found
}

function useWidth() {
  const ref = useRef(null)
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)))
    observer.observe(ref.current)
    return () => observer.disconnect()
  }, [])
  return [ref, width]
}

// What the chart shows, for those who do not see it.
function described(curves, chartLabel, stepLabel) {
  const parts = curves.map(({ label, points }) => {
    const [first, last] = [points[0], points[points.length - 1]]
    return `${label}: ${first[1].toPrecision(3)} (${stepLabel} ${first[0]}) → ${last[1].toPrecision(3)} (${stepLabel} ${last[0]})`
  })
  return [chartLabel, ...parts].join("; ")
}

function Chart({ curves, chartLabel, stepLabel, lossLabel }) {
  const [ref, width] = useWidth()
  const drawn = curves.filter((curve) => curve.points.length)
  const all = drawn.flatMap((curve) => curve.points)
  const xs = all.map(([step]) => step)
  const ys = all.map(([, value]) => value)
  const [x0, x1] = [Math.min(0, ...xs), Math.max(...xs)]
  const [low, high] = [Math.min(...ys), Math.max(...ys)]
  const pad = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1
  const [y0, y1] = [Math.max(low - pad, low >= 0 ? 0 : -Infinity), high + pad]
  const x = (step) => MARGIN.left + ((step - x0) / (x1 - x0 || 1)) * (width - MARGIN.left - MARGIN.right)
  const y = (value) => MARGIN.top + ((y1 - value) / (y1 - y0)) * (HEIGHT - MARGIN.top - MARGIN.bottom)
  return (
    <figure className="ts-chart" ref={ref}>
      {drawn.length && width ? (
        <>
          <figcaption aria-hidden="true">
            {drawn.map((curve, index) => (
              <span key={index} className={`ts-key ts-line-${index}`}>
                <svg width="22" height="8">
                  <path d="M1 4H21" />
                </svg>
                {curve.label}
              </span>
            ))}
          </figcaption>
          <svg width={width} height={HEIGHT} role="img" aria-label={described(drawn, chartLabel, stepLabel)}>
            {ticks(y0, y1, 4).map((value) => (
              <g key={value} className="ts-tick">
                <path d={`M${MARGIN.left} ${y(value)}H${width - MARGIN.right}`} />
                <text x={MARGIN.left - 8} y={y(value) + 4} textAnchor="end">
                  {value}
                </text>
              </g>
            ))}
            {ticks(x0, x1, width < 420 ? 4 : 8)
              .filter(Number.isInteger)
              .map((step) => (
                <text key={step} className="ts-axis" x={x(step)} y={HEIGHT - 22} textAnchor="middle">
                  {step}
                </text>
              ))}
            <text className="ts-axis ts-name" x={width - MARGIN.right} y={HEIGHT - 6} textAnchor="end">
              {stepLabel}
            </text>
            <text className="ts-axis ts-name" transform={`translate(10 ${HEIGHT / 2 - 8}) rotate(-90)`} textAnchor="middle">
              {lossLabel}
            </text>
            {drawn.map(({ points }, index) => (
              <g key={index} className={`ts-line-${index}`}>
                <path d={points.map(([step, value], at) => `${at ? "L" : "M"}${x(step)} ${y(value)}`).join("")} />
                {points.length === 1 ? <circle cx={x(points[0][0])} cy={y(points[0][1])} r="2.5" /> : null}
              </g>
            ))}
          </svg>
        </>
      ) : null}
    </figure>
  )
}

function Bar({ fraction, isLive, tone, label }) {
  if (fraction === null && !isLive) return null
  const percent = fraction === null ? undefined : Math.round(fraction * 100)
  return (
    <div
      className={`ts-bar ts-tone-${tone} ${fraction === null ? "ts-endless" : ""}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow={percent}
    >
      <i style={fraction === null ? undefined : { width: `${fraction * 100}%` }} />
    </div>
  )
}

function RunCard(card) {
  const { title, status, tone, fraction, is_live, facts, curves, note, log_lines, choices, act } = card
  const [pressed, press] = usePress(act, [status, choices])
  return (
    <Card title={title} status={status} tone={tone}>
      <Bar fraction={fraction} isLive={is_live} tone={tone} label={title} />
      <ul className="ts-facts">
        {facts.map((fact, index) => (
          <li key={index}>{fact}</li>
        ))}
      </ul>
      {note ? (
        <p className={`ts-caution ts-tone-${tone}`}>
          <Words text={note} />
        </p>
      ) : null}
      {curves.some((curve) => curve.points.length) ? (
        <Chart
          curves={curves}
          chartLabel={card.chart_label}
          stepLabel={card.step_label}
          lossLabel={card.loss_label}
        />
      ) : null}
      {log_lines.length ? (
        <pre className="ts-log" tabIndex="0">
          {log_lines.join("\n")}
        </pre>
      ) : null}
      <Choices choices={choices} press={press} pressed={pressed} />
    </Card>
  )
}

export default show("RunCard", RunCard)
