//! The verbs, one file each: arguments and one function.

pub(crate) mod activate;
pub(crate) mod backup;
pub(crate) mod call;
pub(crate) mod compact;
pub(crate) mod completions;
pub(crate) mod cycles;
pub(crate) mod deactivate;
pub(crate) mod depend;
pub(crate) mod dependents;
pub(crate) mod deps;
pub(crate) mod diff;
pub(crate) mod errors;
pub(crate) mod evict;
pub(crate) mod export;
pub(crate) mod fuse;
pub(crate) mod gc;
pub(crate) mod grant;
pub(crate) mod grants;
pub(crate) mod graph;
pub(crate) mod health;
pub(crate) mod impact;
pub(crate) mod import;
pub(crate) mod index;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod logs;
pub(crate) mod order;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod prune;
pub(crate) mod register;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod revoke;
pub(crate) mod rollback;
pub(crate) mod scan;
pub(crate) mod serve;
pub(crate) mod settings;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod undepend;
pub(crate) mod unfuse;
pub(crate) mod unregister;
pub(crate) mod use_revision;
pub(crate) mod verify;
pub(crate) mod versions;
pub(crate) mod watch;
pub(crate) mod why;
pub(crate) mod wit;

use serde::Serialize;

use crate::args::Verb;
use crate::dto::{FailedDoc, OutcomesDoc};
use crate::error::{CliError, Done};
use crate::session::Session;
use crate::style::Paint;

/// Runs a verb.
///
/// # Errors
/// [`CliError`] if the verb failed as a whole, and printed nothing yet.
pub(crate) async fn run(session: &Session, verb: Verb) -> Result<Done, CliError> {
    match verb {
        Verb::Register(args) => register::run(session, args).await,
        Verb::Scan(args) => scan::run(session, args).await,
        Verb::Inspect(args) => inspect::run(session, args).await,
        Verb::Unregister(args) => unregister::run(session, args).await,
        Verb::List(args) => list::run(session, args).await,
        Verb::Show(args) => show::run(session, args).await,
        Verb::Wit(args) => wit::run(session, args).await,
        Verb::Versions(args) => versions::run(session, args).await,
        Verb::Diff(args) => diff::run(session, args).await,
        Verb::Plan(args) => plan::run(session, args).await,
        Verb::Activate(args) => activate::run(session, args).await,
        Verb::Call(args) => call::run(session, args).await,
        Verb::Use(args) => use_revision::run(session, args).await,
        Verb::Rollback(args) => rollback::run(session, args).await,
        Verb::Watch(args) => watch::run(session, args).await,
        Verb::Deactivate(args) => deactivate::run(session, args).await,
        Verb::Evict(args) => evict::run(session, args).await,
        Verb::Logs(args) => logs::run(session, args).await,
        Verb::Deps(args) => deps::run(session, args).await,
        Verb::Dependents(args) => dependents::run(session, args).await,
        Verb::Why(args) => why::run(session, args).await,
        Verb::Impact(args) => impact::run(session, args).await,
        Verb::Depend(args) => depend::run(session, args).await,
        Verb::Undepend(args) => undepend::run(session, args).await,
        Verb::Fuse(args) => fuse::run(session, args).await,
        Verb::Unfuse(args) => unfuse::run(session, args).await,
        Verb::Order(args) => order::run(session, args).await,
        Verb::Cycles(args) => cycles::run(session, args).await,
        Verb::Graph(args) => graph::run(session, args).await,
        Verb::Status(args) => status::run(session, args).await,
        Verb::Health(args) => health::run(session, args).await,
        Verb::Stats(args) => stats::run(session, args).await,
        Verb::Errors(args) => errors::run(session, args).await,
        Verb::Log(args) => log::run(session, args).await,
        Verb::Grant(args) => grant::run(session, args).await,
        Verb::Revoke(args) => revoke::run(session, args).await,
        Verb::Grants(args) => grants::run(session, args).await,
        Verb::Policy(args) => policy::run(session, args).await,
        Verb::Index(args) => index::run(session, args).await,
        Verb::Settings(args) => settings::run(session, args).await,
        Verb::Serve(args) => serve::run(session, args).await,
        Verb::Backup(args) => backup::run(session, args).await,
        Verb::Restore(args) => restore::run(session, args).await,
        Verb::Gc(args) => gc::run(session, args).await,
        Verb::Prune(args) => prune::run(session, args).await,
        Verb::Export(args) => export::run(session, args).await,
        Verb::Import(args) => import::run(session, args).await,
        Verb::Verify(args) => verify::run(session, args).await,
        Verb::Compact(args) => compact::run(session, args).await,
        Verb::Repair(args) => repair::run(session, args).await,
        Verb::Completions(args) => completions::run(session, args).await,
    }
}

/// Prints one answer per name: the document itself where one name was asked for, else `{"<plural>": […], "failed": […]}`.
///
/// # Errors
/// The one name's error where one name was asked for and means nothing.
fn print_each<T: Serialize>(
    session: &Session,
    plural: &'static str,
    asked: usize,
    documents: Vec<T>,
    failed: Vec<FailedDoc>,
    text: impl Fn(&T, Paint) -> String,
) -> Result<Done, CliError> {
    if asked == 1 {
        if let Some(failed) = failed.into_iter().next() {
            return Err(failed.error);
        }
        for document in &documents {
            session.out.result(document, &text)?;
        }
        return Ok(Done::All);
    }
    let error = failed.first().map(|failed| failed.error.clone());
    if session.out.is_json() {
        let mut object = serde_json::Map::new();
        object.insert(plural.to_owned(), to_json(&documents)?);
        object.insert("failed".to_owned(), to_json(&failed)?);
        if let Some(error) = &error {
            object.insert("error".to_owned(), to_json(error)?);
        }
        session.out.json(&object)?;
    } else {
        let texts: Vec<_> = documents.iter().map(|document| text(document, session.out.paint())).collect();
        session.out.text(&texts.join("\n"))?;
        print_failed(session, &failed);
    }
    Ok(Done::of(error.as_ref()))
}

fn to_json<T: Serialize>(value: &T) -> Result<serde_json::Value, CliError> {
    serde_json::to_value(value).map_err(|e| CliError::internal(format!("the result cannot be written as JSON: {e}")))
}

/// Prints what was done to each of several components; `text` puts it in words.
fn print_outcomes(
    session: &Session,
    document: &OutcomesDoc,
    text: impl FnOnce(&OutcomesDoc, Paint) -> String,
) -> Result<Done, CliError> {
    session.out.result(document, text)?;
    print_failed(session, &document.failed);
    Ok(Done::of(document.error.as_ref()))
}

/// Tells people of the items that could not be done; scripts have them in the document.
fn print_failed(session: &Session, failed: &[FailedDoc]) {
    if !session.out.is_json() {
        for failed in failed {
            failed.error.print(Some(&failed.id), &session.terminal);
        }
    }
}
