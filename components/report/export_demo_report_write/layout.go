package export_demo_report_write

import (
	"fmt"
	"strings"
	"unicode/utf8"

	types "go.bytecodealliance.org/pkg/wit/types"

	report "wit_component/demo_report_write"
	sentiment "wit_component/demo_sentiment_analyse"
	template "wit_component/demo_template_render"
	prose "wit_component/demo_text_prose"
)

// widthDefault is how many characters a line has in the plain layout.
const widthDefault = 72

const plainTemplate = `{{title|upper}}
{{rule}}
{{#author}}
by {{author}}
{{/author}}

{{body}}

{{#figures}}
  {{label}}  {{result}}
{{/figures}}
{{#figures-end}}

{{/figures-end}}
Words: {{words}}. Sentences: {{sentences}}.{{#mood}} {{mood}}.{{/mood}}
`

const markdownTemplate = `# {{title}}

{{#author}}
*{{author}}*

{{/author}}
{{body}}

{{#figures-end}}
| figure | value |
|---|---|
{{/figures-end}}
{{#figures}}
| {{label}} | {{result}} |
{{/figures}}
{{#figures-end}}

{{/figures-end}}
Words: {{words}}. Sentences: {{sentences}}.{{#mood}} {{mood}}.{{/mood}}
`

// layOut fills the template of the layout; the error says where the template is wrong.
func layOut(request report.Request, outcomes []report.Outcome, mood types.Option[report.Mood]) types.Result[string, string] {
	source, body := markdownTemplate, strings.TrimSpace(request.Body)
	if request.Layout == report.Layout_Plain {
		source = plainTemplate
		body = strings.Join(prose.Wrap(request.Body, request.Width.SomeOr(widthDefault)), "\n")
	}
	counts := prose.Count(request.Body)
	bindings := []template.Binding{
		text("title", prose.Clean(request.Title, prose.Cleaning_Trim|prose.Cleaning_Collapse|prose.Cleaning_Printable)),
		text("rule", strings.Repeat("=", min(utf8.RuneCountInString(request.Title), widthDefault))),
		text("author", request.Author.SomeOr("")),
		text("body", body),
		number("words", counts.Words),
		number("sentences", counts.Sentences),
		text("mood", moodWord(mood)),
		{Name: "figures", Value: template.MakeValueTable(rows(outcomes, request.Layout))},
		{Name: "figures-end", Value: template.MakeValueFlag(len(outcomes) > 0)},
	}
	filled := template.Render(source, bindings)
	if filled.IsErr() {
		return types.Err[string, string](placeOf(filled.Err()))
	}
	return types.Ok[string, string](filled.Ok())
}

func text(name, value string) template.Binding {
	return template.Binding{Name: name, Value: template.MakeValueText(value)}
}

func number(name string, value uint32) template.Binding {
	return template.Binding{Name: name, Value: template.MakeValueNumber(float64(value))}
}

func moodWord(mood types.Option[report.Mood]) string {
	if mood.IsNone() {
		return ""
	}
	switch mood.Some() {
	case sentiment.Mood_Negative:
		return "A gloomy text"
	case sentiment.Mood_Positive:
		return "A cheerful text"
	default:
		return "A sober text"
	}
}

// rows makes the table of figures; in the plain layout the labels are filled up to equal width.
func rows(outcomes []report.Outcome, layout report.Layout) [][]template.Cell {
	widest := 0
	for _, outcome := range outcomes {
		widest = max(widest, utf8.RuneCountInString(outcome.Label))
	}
	table := make([][]template.Cell, 0, len(outcomes))
	for _, outcome := range outcomes {
		label, result := outcome.Label, textOf(outcome)
		if layout == report.Layout_Plain {
			label += strings.Repeat(" ", widest-utf8.RuneCountInString(label))
		} else {
			label, result = escape(label), escape(result)
		}
		table = append(table, []template.Cell{{Name: "label", Text: label}, {Name: "result", Text: result}})
	}
	return table
}

// escape keeps a text within its cell of a Markdown table.
func escape(cell string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(cell)
}

func placeOf(err template.RenderError) string {
	place := template.Place{}
	switch err.Tag() {
	case template.RenderError_Unclosed:
		place = err.Unclosed()
	case template.RenderError_Unopened:
		place = err.Unopened()
	case template.RenderError_Malformed:
		place = err.Malformed()
	case template.RenderError_Unbound:
		place = err.Unbound()
	default:
		place = err.BadFilter()
	}
	return fmt.Sprintf("%s at line %d, column %d", place.Text, place.Line, place.Column)
}
