function Log({ title, text }) {
  return (
    <Card title={title}>
      <pre className="ts-log" tabIndex="0">
        {text}
      </pre>
    </Card>
  )
}

export default show("Log", Log)
