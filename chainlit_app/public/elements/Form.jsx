function valuesOf(sections) {
  const fields = sections.flatMap((section) => section.fields)
  return Object.fromEntries(fields.map((field) => [field.name, field.value]))
}

function Control({ field, value, change, isDisabled, inputId }) {
  const shared = {
    id: inputId,
    name: field.name,
    value,
    disabled: isDisabled,
    "aria-invalid": field.error ? true : undefined,
    "aria-describedby": field.error || field.help ? `${inputId}-hint` : undefined,
    onChange: (event) => change(field.name, event.target.value),
  }
  if (field.options.length) {
    return (
      <select {...shared}>
        {field.options.map((option) => (
          <option key={option.say} value={option.say}>
            {option.detail ? `${option.label} (${option.detail})` : option.label}
          </option>
        ))}
      </select>
    )
  }
  return (
    <input {...shared} type="text" inputMode={field.kind === "number" ? "decimal" : undefined} autoComplete="off" />
  )
}

function Field({ field, value, change, isDisabled, formId }) {
  const inputId = `${formId}-${field.name}`
  return (
    <div className={field.error ? "ts-field ts-has-error" : "ts-field"}>
      <label htmlFor={inputId}>{field.label}</label>
      <Control field={field} value={value} change={change} isDisabled={isDisabled} inputId={inputId} />
      {field.error || field.help ? (
        <p id={`${inputId}-hint`} role={field.error ? "alert" : undefined}>
          <Words text={field.error || field.help} />
        </p>
      ) : null}
    </div>
  )
}

// A section stands open where it has an error, and where it is the first.
function FormSection({ section, isFirst, children }) {
  const hasError = section.fields.some((field) => field.error)
  const [isOpen, setOpen] = useState(isFirst)
  return (
    <details className="ts-section" open={isOpen || hasError} onToggle={(event) => setOpen(event.target.open)}>
      <summary>
        <h5>{section.title}</h5>
        <span className="ts-count">{section.fields.length}</span>
      </summary>
      <div className="ts-fields">{children}</div>
    </details>
  )
}

function Form({ id, title, intro, sections, submit_label, choices, is_submitted, act }) {
  const [values, setValues] = useState(() => valuesOf(sections))
  const [pressed, press] = usePress(act, [sections, is_submitted])
  const form = useRef(null)
  const given = JSON.stringify(sections)
  const before = useRef(given)
  useEffect(() => {
    if (before.current === given) return
    before.current = given
    setValues(valuesOf(sections))
    form.current?.querySelector("[aria-invalid]")?.focus()
  }, [given])
  const isDisabled = is_submitted || pressed !== null
  const change = (name, value) => setValues((typed) => ({ ...typed, [name]: value }))
  const submit = (event) => {
    event.preventDefault()
    press({ about: id, answers: values }, "submit")
  }
  return (
    <Card title={title}>
      {intro ? (
        <p className="ts-para">
          <Words text={intro} />
        </p>
      ) : null}
      <form ref={form} onSubmit={submit} noValidate>
        {sections.map((section, index) => (
          <FormSection key={section.title} section={section} isFirst={index === 0}>
            {section.fields.map((field) => (
              <Field
                key={field.name}
                field={field}
                value={values[field.name] ?? ""}
                change={change}
                isDisabled={isDisabled}
                formId={id}
              />
            ))}
          </FormSection>
        ))}
        {is_submitted ? null : (
          <div className="ts-submit">
            <button
              type="submit"
              className={`ts-button ts-primary ${pressed === "submit" ? "ts-pressed" : ""}`}
              disabled={isDisabled}
            >
              {submit_label}
            </button>
            <Choices choices={choices} press={press} pressed={pressed} about={id} />
          </div>
        )}
      </form>
    </Card>
  )
}

export default show("Form", Form)
