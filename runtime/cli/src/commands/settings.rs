use domain::settings::SettingEntry;
use domain::text::escape_line;
use registry::Registry;
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::session::Session;
use crate::style::Paint;
use crate::table::{Cell, Table};

/// Show or change the registry's settings
///
/// They are kept in `registry.toml` in the data folder. Values are TOML; a word that is not TOML is taken as a string.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime settings
  runtime settings limits.fuel
  runtime settings limits.fuel=200_000_000 case_sensitive=false
  runtime settings --reset limits.fuel")]
pub(crate) struct Args {
    /// Settings to show, or to set
    #[arg(value_name = "KEY[=VALUE]")]
    pub(crate) settings: Vec<String>,

    /// Take settings back to their defaults
    #[arg(long, value_name = "KEY", num_args = 1..)]
    pub(crate) reset: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SettingDoc {
    key: String,
    /// The value as JSON, where it has a JSON form; else as TOML text.
    value: serde_json::Value,
    toml: String,
    default: bool,
    doc: std::borrow::Cow<'static, str>,
}

#[derive(Debug, Serialize)]
struct SettingsDoc {
    settings: Vec<SettingDoc>,
}

impl From<SettingEntry> for SettingDoc {
    fn from(entry: SettingEntry) -> Self {
        // Flags, numbers, plain strings and lists of them are written alike in TOML and JSON.
        let value = serde_json::from_str(&entry.value.replace('_', ""))
            .ok()
            .filter(|value: &serde_json::Value| value.is_number())
            .or_else(|| serde_json::from_str(&entry.value).ok())
            .unwrap_or_else(|| serde_json::Value::String(entry.value.clone()));
        Self { key: entry.key, value, toml: entry.value, default: entry.is_default, doc: entry.doc }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let mut keys = Vec::new();
    for setting in &args.settings {
        match setting.split_once('=') {
            None => keys.push(setting.trim().to_owned()),
            Some((key, value)) => {
                registry.set_setting(key.trim(), Some(value.trim())).await?;
                keys.push(key.trim().to_owned());
            }
        }
    }
    for key in &args.reset {
        registry.set_setting(key, None).await?;
        keys.push(key.clone());
    }
    let settings = settings_of(registry, &keys)?;
    // A key given alone is answered with its value alone.
    let single = args.settings.len() == 1 && args.reset.is_empty();
    match settings.as_slice() {
        [only] if single => session.out.result(only, |setting, _| format!("{}\n", escape_line(&setting.toml)))?,
        _ => session.out.result(&SettingsDoc { settings }, |document, paint| text(&document.settings, paint))?,
    }
    Ok(Done::All)
}

/// Returns the settings of these keys and below them, of all if none is given.
fn settings_of(registry: &Registry, keys: &[String]) -> Result<Vec<SettingDoc>, CliError> {
    let entries = registry.settings_entries();
    if keys.is_empty() {
        return Ok(entries.into_iter().map(SettingDoc::from).collect());
    }
    let mut found = Vec::new();
    for key in keys {
        let below = |entry: &&SettingEntry| {
            entry.key == *key || entry.key.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        let matching: Vec<_> = entries.iter().filter(below).cloned().collect();
        if matching.is_empty() {
            domain::settings::Settings::check_key(key).map_err(|error| {
                let hints = error.hints();
                hints.into_iter().fold(CliError::usage(error.to_string()), CliError::hint)
            })?;
        }
        found.extend(matching.into_iter().map(SettingDoc::from));
    }
    Ok(found)
}

fn text(settings: &[SettingDoc], paint: Paint) -> String {
    let mut table = Table::new(&["SETTING", "VALUE", ""]);
    for setting in settings {
        let value = escape_line(&setting.toml).into_owned();
        let cell = if setting.default {
            Cell::painted(&value, paint.dim(&value))
        } else {
            Cell::painted(&value, paint.bold(&value))
        };
        table.row(vec![setting.key.clone().into(), cell, (&*setting.doc).into()]);
    }
    table.render()
}
