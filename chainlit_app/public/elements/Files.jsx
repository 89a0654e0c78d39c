import { Paperclip } from "lucide-react"

function Files({ names }) {
  return (
    <div className="ts-files">
      {names.map((name, index) => (
        <span key={index}>
          <Paperclip aria-hidden="true" />
          {name}
        </span>
      ))}
    </div>
  )
}

export default show("Files", Files)
