function Notice({ text }) {
  return (
    <p className="ts-notice" role="status">
      <Words text={text} />
    </p>
  )
}

export default show("Notice", Notice)
