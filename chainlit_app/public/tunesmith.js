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
let place = ""
let isAtEnd = true
let last = 0
let wantsUpAt = -Infinity

const grown = new ResizeObserver(() => {
  if (isAtEnd && thread) thread.scrollTop = thread.scrollHeight
})

// Only a person leaves the end of a thread: a card that grows or shrinks scrolls too.
function noteWish(event) {
  const isUp =
    (event.type === "wheel" && event.deltaY < 0) ||
    event.type === "touchmove" ||
    (event.type === "keydown" && ["PageUp", "ArrowUp", "Home"].includes(event.key)) ||
    (event.type === "pointerdown" && event.target === thread)
  if (isUp) wantsUpAt = performance.now()
}

function noteScroll() {
  const isNear = thread.scrollTop + thread.clientHeight >= thread.scrollHeight - 40
  if (isNear) isAtEnd = true
  else if (thread.scrollTop < last && performance.now() - wantsUpAt < 1500) isAtEnd = false
  last = thread.scrollTop
}

function follow() {
  const step = document.querySelector(".step")
  const found = step?.closest(".overflow-y-auto") ?? null
  if (found === thread && place === location.pathname) return
  grown.disconnect()
  isAtEnd = true
  place = location.pathname
  if (found === thread) return observe(step)
  thread = found
  if (!thread) return
  thread.addEventListener("scroll", noteScroll, { passive: true })
  for (const name of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    thread.addEventListener(name, noteWish, { passive: true })
  }
  observe(step)
}

function observe(step) {
  if (!step) return
  grown.observe(step.parentElement)
  grown.observe(thread)
}

new MutationObserver(() => {
  greet()
  follow()
}).observe(document.getElementById("root"), { childList: true, subtree: true })
