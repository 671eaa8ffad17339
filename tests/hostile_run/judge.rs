//! Does what a case says and tells whether what came of it is what should have.

use std::time::Duration;

use serde_json::Value;

use crate::case::{Case, Expected};
use crate::host::{Answer, Host};

/// Longest message of a failure or a refusal that anybody is shown, in bytes.
const MESSAGE_MAX: usize = 8 << 10;

/// Longest answer in text, in bytes: what hostile components say must not fill screens without end.
const SHOWN_MAX: usize = 1 << 20;

/// What came of a case.
pub(crate) struct Tried {
    pub(crate) verdict: Result<(), String>,
    /// How long the step took that met the error.
    pub(crate) took: Duration,
}

/// Runs one case and calls the neighbour; leaves the registry as it was.
pub(crate) fn run(host: &mut Host, case: &Case) -> Tried {
    let mut took = Duration::ZERO;
    let verdict = attempt(host, case, &mut took).and_then(|()| aftermath(host, case));
    let neighbour = if host.is_alive() { host.neighbour_answers() } else { Err("the host died".to_owned()) };
    let verdict = match (verdict, neighbour) {
        (Ok(()), Ok(())) => clean(host, case),
        (Err(complaint), Ok(())) => {
            let _ = clean(host, case);
            Err(complaint)
        }
        (verdict, Err(dead)) => {
            let complaint = verdict.err().map(|complaint| format!("{complaint}; ")).unwrap_or_default();
            Err(format!("{complaint}{dead}\n{}", host.restart()))
        }
    };
    Tried { verdict, took }
}

/// Registers what the case needs, comes to its verb and looks at what it met.
fn attempt(host: &Host, case: &Case, took: &mut Duration) -> Result<(), String> {
    for helper in &case.helpers {
        let folder = case.folder_of(&host.work(), helper);
        succeeded("register", &host.ask(&["register", folder.to_str().unwrap()])?)?;
    }
    let folder = case.folder_of(&host.work(), &case.component);
    let (id, folder) = (case.component.id.as_str(), folder.to_str().unwrap());
    let mut steps = vec![vec!["register", folder], vec!["activate", id]];
    for (verb, argument) in &case.before {
        steps.push([verb.as_str(), id].into_iter().chain(argument.as_deref()).collect());
    }
    match case.verbs.last().map(String::as_str) {
        Some("call") => steps.push(vec!["call", id, case.function.as_deref().expect("`function` says what is called")]),
        Some(verb @ ("deactivate" | "health" | "inspect" | "evict")) => steps.push(vec![verb, id]),
        Some("register") => steps.truncate(1),
        Some("activate") => steps.truncate(2),
        other => panic!("{}: no verb, or one that is not known: {other:?}", case.name),
    }
    let last = steps.len() - 1;
    for (at, step) in steps.iter().enumerate() {
        if at == last && case.at_once > 1 {
            return crowded(host, case, &host.ask_at_once(step, case.at_once)?);
        }
        let answer = host.ask(step)?;
        *took = answer.took;
        // An earlier verb may be the one that meets the error.
        if at == last || (answer.code != 0 && case.verbs.iter().any(|verb| verb == step[0])) {
            return judge(host, case, &answer);
        }
        succeeded(step[0], &answer)?;
    }
    Ok(())
}

/// Judges many answers to the same question: where some are to be refused, the others have to succeed.
fn crowded(host: &Host, case: &Case, answers: &[Answer]) -> Result<(), String> {
    if case.expected.refusal.is_empty() {
        return answers.iter().try_for_each(|answer| judge(host, case, answer));
    }
    let (answered, refused_ones): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.code == 0);
    refused_ones.iter().try_for_each(|answer| refused(&case.expected, answer))?;
    match answered.is_empty() || refused_ones.is_empty() {
        true => Err(format!("{} of {} were answered", answered.len(), answers.len())),
        false => Ok(()),
    }
}

fn succeeded(verb: &str, answer: &Answer) -> Result<(), String> {
    match answer.code {
        0 => Ok(()),
        _ => Err(format!("`{verb}` should have succeeded: {}", shown(answer))),
    }
}

/// Compares an answer, and the history of the component, with what is expected.
fn judge(host: &Host, case: &Case, answer: &Answer) -> Result<(), String> {
    let expected = &case.expected;
    if matches!(answer.code, 70 | 101) || answer.stderr.contains("panicked") {
        return Err(format!("a fault of the host: {}", shown(answer)));
    }
    if let Some(wanted) = &expected.answers
        && answer.document()["result"] != *wanted
    {
        return Err(format!("it should have answered {wanted}: {}", shown(answer)));
    }
    if !expected.refusal.is_empty() {
        return refused(expected, answer);
    }
    let document = host.ask(&["errors", &case.component.id, "--limit", "1"])?.document();
    let newest = &document["errors"][0];
    match &expected.phase {
        Some(phase) => failed(expected, phase, newest),
        None if newest.is_null() => Ok(()),
        None => Err(format!("it should not have failed: {newest}")),
    }?;
    // What is only recorded does not fail the verb; everything else does.
    let recorded = expected.answers.is_some() || expected.phase.is_none() || case.verbs == ["deactivate"];
    match recorded == (answer.code == 0) {
        true => Ok(()),
        false => Err(format!("wrong exit code: {}", shown(answer))),
    }
}

/// Checks the error of a verb that was refused.
fn refused(expected: &Expected, answer: &Answer) -> Result<(), String> {
    let document = answer.document();
    let error = [&document["error"], &document["failed"][0]["error"]].into_iter().find(|error| error.is_object());
    let Some(error) = error else { return Err(format!("it should have been refused: {}", shown(answer))) };
    let kind = error["kind"].as_str().unwrap_or_default();
    let message = error["message"].as_str().unwrap_or_default();
    let said = expected.says.as_ref().is_none_or(|says| message.contains(says.as_str()));
    match expected.refusal.iter().any(|wanted| wanted == kind) && said && message.len() <= MESSAGE_MAX {
        true => Ok(()),
        false => Err(format!("wrong refusal: expected {:?} {:?}, got {}", expected.refusal, expected.says, cut(error))),
    }
}

/// Checks the newest record of the component's history.
fn failed(expected: &Expected, phase: &str, newest: &Value) -> Result<(), String> {
    let message = newest["message"].as_str().unwrap_or_default();
    let right = newest["phase"] == phase
        && expected.kinds.iter().any(|kind| newest["kind"] == *kind)
        && expected.says.as_ref().is_none_or(|says| message.contains(says.as_str()))
        && message.len() <= MESSAGE_MAX;
    match right {
        true => Ok(()),
        false => Err(format!(
            "wrong failure: expected {phase} {:?} {:?}, got {}",
            expected.kinds,
            expected.says,
            cut(newest)
        )),
    }
}

/// Checks what is left: texts that people see, and what was printed.
fn aftermath(host: &Host, case: &Case) -> Result<(), String> {
    let id = case.component.id.as_str();
    for verb in ["show", "errors", "logs", "log", "wit"] {
        let answer = if verb == "log" { host.new_records()? } else { host.ask_text(&[verb, id])? };
        let texts = [answer.stdout.as_str(), answer.stderr.as_str()];
        if let Some(found) = texts.iter().flat_map(|text| text.chars()).find(|c| is_deceptive(*c)) {
            return Err(format!("`{verb}` prints {found:?} unescaped"));
        }
        // WIT is as long as the component's types are.
        if verb != "wit" && texts.iter().any(|text| text.len() > SHOWN_MAX) {
            return Err(format!("`{verb}` prints {} bytes", texts[0].len() + texts[1].len()));
        }
    }
    if let Some(max) = case.expected.errors_max {
        let document = host.ask(&["errors", id, "--limit", "100000"])?.document();
        let kept = document["errors"].as_array().map_or(0, Vec::len) as u64;
        if kept > max {
            return Err(format!("its history keeps {kept} records"));
        }
    }
    let limits = &case.expected.logs;
    if limits.lines_max.is_none() && limits.bytes_max.is_none() && limits.say.is_none() {
        return Ok(());
    }
    let document = host.ask(&["logs", id])?.document();
    let texts: Vec<_> = document["lines"].as_array().map(Vec::as_slice).unwrap_or_default().iter().collect();
    let text = |line: &&Value| line["text"].as_str().unwrap_or_default().to_owned();
    let (lines, bytes) = (texts.len() as u64, texts.iter().map(|line| text(line).len() as u64).sum::<u64>());
    if limits.lines_max.is_some_and(|max| lines > max) || limits.bytes_max.is_some_and(|max| bytes > max) {
        return Err(format!("{lines} lines of {bytes} bytes are kept of what it printed"));
    }
    match &limits.say {
        Some(say) if !texts.iter().any(|line| text(line).contains(say.as_str())) => {
            Err(format!("no line kept of {lines} says {say:?}; the last one is {:?}", texts.last().map(text)))
        }
        _ => Ok(()),
    }
}

/// Tells whether a character may not stand in what people are shown: it moves the cursor, or turns or hides text.
fn is_deceptive(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Takes the case's components out again.
fn clean(host: &Host, case: &Case) -> Result<(), String> {
    // The hostile one stands at the end of every chain of imports.
    for component in [&case.component].into_iter().chain(case.helpers.iter().rev()) {
        let answer = host.ask(&["unregister", &component.id, "--cascade"])?;
        if !matches!(answer.code, 0 | 3) {
            return Err(format!("it cannot be taken out again: {}", shown(&answer)));
        }
    }
    Ok(())
}

fn shown(answer: &Answer) -> String {
    let both = format!("exit code {}, {} {}", answer.code, answer.stdout.trim(), answer.stderr.trim());
    both.chars().take(1_500).collect()
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(1_000).collect()
}
