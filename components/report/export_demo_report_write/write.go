// Package export_demo_report_write is the export `demo:report/write`: the build joins it with the bindings that are
// generated from the WIT as the module `wit_component`.
package export_demo_report_write

import (
	"fmt"
	"strings"

	types "go.bytecodealliance.org/pkg/wit/types"

	digest "wit_component/demo_checksum_digest"
	facts "wit_component/demo_facts_store"
	log "wit_component/demo_logger_log"
	report "wit_component/demo_report_write"
	sentiment "wit_component/demo_sentiment_analyse"
	prose "wit_component/demo_text_prose"
	environment "wit_component/registry_host_environment"
)

// figuresMax is the most figures that a report may have.
const figuresMax = 50

// keyPrefix is where the checksums of reports are kept among the facts, keySlugMax how much of a slug a key takes.
const (
	keyPrefix  = "reports/"
	keySlugMax = 80
)

// Write writes one report and notes its checksum in the store of facts.
func Write(request report.Request) types.Result[report.Report, report.WriteError] {
	slug := prose.Slug(request.Title)
	if slug == "" {
		return refuse(report.MakeWriteErrorNoTitle())
	}
	if len(request.Figures) > figuresMax {
		return refuse(report.MakeWriteErrorTooManyFigures(figuresMax))
	}
	mood := moodOf(request.Body)
	outcomes := computeAll(request.Figures)
	rendered := layOut(request, outcomes, mood)
	if rendered.IsErr() {
		return refuse(report.MakeWriteErrorLayout(rendered.Err()))
	}
	checksum := digest.OfText(rendered.Ok(), digest.Algorithm_Sha256)
	note(slug, checksum.Hex, request.Author)
	log.Write(log.Level_Info, "write", fmt.Sprintf("%s%s, figures: %d", slug, onBehalf(), len(outcomes)))
	return types.Ok[report.Report, report.WriteError](report.Report{
		Slug:     slug,
		Text:     rendered.Ok(),
		Mood:     mood,
		Outcomes: outcomes,
		Checksum: checksum,
	})
}

// History lists the reports that were written, ordered by slug.
func History() []report.PastReport {
	past := []report.PastReport{}
	for _, fact := range facts.Find(keyPrefix) {
		if fact.Value.Tag() != facts.Value_Text {
			continue // somebody else's fact
		}
		past = append(past, report.PastReport{
			Slug:   strings.TrimPrefix(fact.Key, keyPrefix),
			Sha256: fact.Value.Text(),
			Times:  fact.Revision,
		})
	}
	return past
}

func refuse(why report.WriteError) types.Result[report.Report, report.WriteError] {
	return types.Err[report.Report, report.WriteError](why)
}

// moodOf returns the mood of the prose, or none when it has no words or too many.
func moodOf(body string) types.Option[report.Mood] {
	analysis := sentiment.Analyse(body)
	if analysis.IsErr() {
		return types.None[report.Mood]()
	}
	return types.Some[report.Mood](analysis.Ok().Mood)
}

// note keeps the checksum of a report as a fact. A store that refuses it does not spoil the report.
func note(slug, sha256 string, author types.Option[string]) {
	key := keyPrefix + strings.TrimRight(slug[:min(len(slug), keySlugMax)], "-")
	stored := facts.Put(key, facts.MakeValueText(sha256), types.Some(author.SomeOr("demo:report")))
	if stored.IsErr() {
		log.Write(log.Level_Warn, "write", "the store of facts did not take "+key)
	}
}

// onBehalf says for whom the report is, where that is known.
func onBehalf() string {
	if principal := environment.Principal(); principal.IsSome() {
		return " for " + principal.Some()
	}
	return ""
}
