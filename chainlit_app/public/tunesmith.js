// What Chainlit's page has no place for: a greeting on the first screen, and staying at the end of a thread whose
// cards still grow.
const greeting = document.querySelector('meta[name="tunesmith-greeting"]')?.content

function greet() {
  const screen = document.getElementById("welcome-screen")
  if (!greeting || !screen || screen.querySelector(".ts-greeting")) return
  const [first, ...others] = greeting.split("\n")
  const text = document.createElement("p")
  text.className = "ts-greeting"
  text.append(Object.assign(document.createElement("b"), { textContent: first }), `\n${others.join("\n")}`)
  screen.querySelector(".logo")?.after(text)
}

let thread = null
let isAtEnd = true

const grown = new ResizeObserver(() => {
  if (isAtEnd && thread) thread.scrollTop = thread.scrollHeight
})

function follow() {
  const step = document.querySelector(".step")
  const found = step?.closest(".overflow-y-auto") ?? null
  if (found === thread) return
  grown.disconnect()
  thread = found
  isAtEnd = true
  if (!thread) return
  thread.addEventListener("scroll", () => {
    isAtEnd = thread.scrollTop + thread.clientHeight >= thread.scrollHeight - 40
  })
  grown.observe(step.parentElement)
}

new MutationObserver(() => {
  greet()
  follow()
}).observe(document.getElementById("root"), { childList: true, subtree: true })
