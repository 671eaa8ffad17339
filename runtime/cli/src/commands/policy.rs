use domain::ComponentId;
use domain::policy::Rule;
use domain::text::escape_line;
use serde::Serialize;

use crate::dto::GrantDoc;
use crate::error::{CliError, Done};
use crate::select::ID_HELP;
use crate::session::Session;
use crate::style::Paint;
use crate::table::Table;

/// Show the rules that grant at registration, or which of them would match
///
/// They are kept in `policy.toml` in the data folder, and read when the registry is opened. A rule grants what a component asks for and
/// the rule allows, when it is registered; never what an earlier revision asked for already.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime policy
  runtime policy check demo:report")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Say which rule would grant what a component asks for
    #[command(after_help = "Examples:\n  runtime policy check demo:report")]
    Check {
        #[arg(value_name = "ID", help = ID_HELP)]
        id: String,
    },
}

#[derive(Debug, Serialize)]
struct PolicyDoc {
    rules: Vec<RuleDoc>,
}

#[derive(Debug, Serialize)]
struct RuleDoc {
    name: String,
    ids: Vec<String>,
    kinds: Vec<String>,
    env: Vec<String>,
    folders: Vec<FolderRuleDoc>,
    clocks: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct FolderRuleDoc {
    path: String,
    mode: &'static str,
}

#[derive(Debug, Serialize)]
struct CheckDoc {
    id: ComponentId,
    asked: Vec<CheckedDoc>,
}

#[derive(Debug, Serialize)]
struct CheckedDoc {
    #[serde(flatten)]
    grant: GrantDoc,
    rule: Option<String>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    match args.action {
        None => {
            let rules: Vec<_> = registry.policy().rules().iter().map(RuleDoc::from).collect();
            if rules.is_empty() {
                session.terminal.note("there are no rules: what components ask for is granted by an operator alone");
            }
            session.out.result(&PolicyDoc { rules }, |document, _| text(document))?;
        }
        Some(Action::Check { id }) => {
            let id = registry.resolve_current(&id).await?.id;
            let checked = registry.check_policy(&id).await?;
            let asked = checked.into_iter().map(|(grant, rule)| CheckedDoc { grant: (&grant).into(), rule }).collect();
            session.out.result(&CheckDoc { id, asked }, check_text)?;
        }
    }
    Ok(Done::All)
}

impl From<&Rule> for RuleDoc {
    fn from(rule: &Rule) -> Self {
        let folder = |folder: &domain::policy::FolderRule| FolderRuleDoc {
            path: folder.path.clone(),
            mode: folder.mode.as_str(),
        };
        Self {
            name: rule.name.clone(),
            ids: rule.ids.iter().map(ToString::to_string).collect(),
            kinds: rule.kinds.iter().map(ToString::to_string).collect(),
            env: rule.env.clone(),
            folders: rule.folders.iter().map(folder).collect(),
            clocks: rule.precise_clocks.then_some("precise"),
        }
    }
}

fn text(document: &PolicyDoc) -> String {
    let mut table = Table::new(&["RULE", "COMPONENTS", "KINDS", "ALLOWS"]);
    let all = |words: &[String]| if words.is_empty() { "all".to_owned() } else { words.join(" ") };
    for rule in &document.rules {
        let env = rule.env.iter().map(|name| format!("env {name}"));
        let folders = rule.folders.iter().map(|folder| format!("folder {} ({})", folder.path, folder.mode));
        let clocks = rule.clocks.map(|clocks| format!("clocks {clocks}"));
        let allows: Vec<_> = env.chain(folders).chain(clocks).collect();
        let cell = |text: &str| escape_line(text).into_owned().into();
        table.row(vec![cell(&rule.name), cell(&all(&rule.ids)), cell(&all(&rule.kinds)), cell(&allows.join(", "))]);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

fn check_text(document: &CheckDoc, paint: Paint) -> String {
    let id = paint.bold(document.id.as_str());
    if document.asked.is_empty() {
        return format!("{id} asks for nothing\n");
    }
    let line = |checked: &CheckedDoc| {
        let grant = escape_line(&checked.grant.text);
        match &checked.rule {
            Some(rule) => format!("{id} {grant}: allowed by rule {}\n", escape_line(rule)),
            None => format!("{id} {grant}: no rule allows it\n"),
        }
    };
    document.asked.iter().map(line).collect()
}
