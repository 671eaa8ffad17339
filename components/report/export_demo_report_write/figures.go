package export_demo_report_write

import (
	"fmt"

	calculator "wit_component/demo_calculator_calc"
	report "wit_component/demo_report_write"
	units "wit_component/demo_units_convert"
)

// computeAll asks the calculator for each figure; an error is an outcome like any other.
func computeAll(figures []report.Figure) []report.Outcome {
	outcomes := make([]report.Outcome, 0, len(figures))
	for _, figure := range figures {
		outcomes = append(outcomes, report.Outcome{
			Label:  figure.Label,
			Answer: calculator.Evaluate(figure.Expression),
		})
	}
	return outcomes
}

// textOf writes an outcome as people read it.
func textOf(outcome report.Outcome) string {
	if outcome.Answer.IsOk() {
		return outcome.Answer.Ok().Text
	}
	return "? (" + reasonOf(outcome.Answer.Err()) + ")"
}

// reasonOf puts an error of the calculator into words.
func reasonOf(err calculator.CalcError) string {
	switch err.Tag() {
	case calculator.CalcError_Syntax:
		return atCharacter(err.Syntax())
	case calculator.CalcError_UnknownName:
		return atCharacter(err.UnknownName())
	case calculator.CalcError_BadArgument:
		return atCharacter(err.BadArgument())
	case calculator.CalcError_BadUnits:
		return atCharacter(err.BadUnits())
	case calculator.CalcError_Conversion:
		return conversionReason(err.Conversion().Reason)
	case calculator.CalcError_DivisionByZero:
		return "division by zero"
	default:
		return "too large"
	}
}

func atCharacter(problem calculator.Problem) string {
	return fmt.Sprintf("%s, at character %d", problem.Message, problem.At+1)
}

func conversionReason(err units.ConvertError) string {
	switch err.Tag() {
	case units.ConvertError_UnknownUnit:
		return fmt.Sprintf("there is no unit %q", err.UnknownUnit())
	case units.ConvertError_DifferentDimensions:
		return "the units measure different things"
	case units.ConvertError_NotANumber:
		return fmt.Sprintf("%q is no quantity", err.NotANumber())
	case units.ConvertError_BelowAbsoluteZero:
		return "colder than absolute zero"
	default:
		return "too large"
	}
}
