// Put before every element when the public folder is made: Chainlit's elements cannot import each other.
import { Fragment, useEffect, useRef, useState } from "react"
import { Markdown } from "@/components/markdown"

// Chainlit evaluates an element anew at each change. The views are kept from their first evaluation, so that React
// updates them in place: focus, typed text, open folds and the movement of the bar survive.
const views = (window.tunesmithViews ??= {})

function show(name, view) {
  const View = (views[name] ??= view)
  return <View {...props} act={act} />
}

function act(payload) {
  return callAction({ name: "say", payload: { id: crypto.randomUUID(), ...payload } })
}

// One press at a time; the buttons are free again once the server has answered or shown the message anew.
function usePress(act, shown) {
  const [pressed, setPressed] = useState(null)
  useEffect(() => setPressed(null), [JSON.stringify(shown)])
  const press = async (payload, name = payload.say) => {
    if (pressed !== null) return
    setPressed(name)
    try {
      await act(payload)
    } finally {
      setPressed(null)
    }
  }
  return [pressed, press]
}

function Choices({ choices, press, pressed, about, isNumbered = false, isQuiet = false, isMoving = false }) {
  if (!choices?.length) return null
  const handlers = (choice) => {
    const act = () => press({ say: choice.say, label: choice.label, about })
    if (!isMoving) return { onClick: act }
    // Under an answer that grows, a button may have moved on before the finger is lifted: it acts when pressed down.
    return { onPointerDown: (event) => event.button === 0 && act(), onClick: (event) => event.detail === 0 && act() }
  }
  return (
    <div className={isQuiet ? "ts-hints" : "ts-choices"} role="group">
      {choices.map((choice, index) => (
        <button
          key={choice.say}
          type="button"
          className={`ts-button ts-${choice.style} ${pressed === choice.say ? "ts-pressed" : ""}`}
          disabled={pressed !== null}
          aria-busy={pressed === choice.say}
          {...handlers(choice)}
        >
          <span>
            {isNumbered ? <span className="ts-number">{index + 1}. </span> : null}
            {choice.label}
          </span>
          {choice.detail ? <small>{choice.detail}</small> : null}
        </button>
      ))}
    </div>
  )
}

function Card({ title, subtitle, status, tone = "plain", children }) {
  return (
    <section className="ts-card" aria-label={title}>
      {title ? (
        <header className="ts-head">
          <h4>{title}</h4>
          {subtitle ? <span>{subtitle}</span> : null}
          {status ? <span className={`ts-status ts-tone-${tone}`}>{status}</span> : null}
        </header>
      ) : null}
      {children}
    </section>
  )
}

// `code` and **bold** of our own sentences; anything else stays as it is.
function Words({ text }) {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*)/)
  return parts.map((part, index) => {
    if (part.startsWith("`") && part.length > 2) return <code key={index}>{part.slice(1, -1)}</code>
    if (part.startsWith("**") && part.length > 4) return <b key={index}>{part.slice(2, -2)}</b>
    return <Fragment key={index}>{part}</Fragment>
  })
}

function Rich({ text }) {
  return (
    <div className="ts-rich">
      <Markdown renderMarkdown={true}>{text}</Markdown>
    </div>
  )
}
