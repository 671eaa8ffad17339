//! Damage to a closed data folder, seen through the program: mended, refused with its place, or listed by `verify`; never a panic,
//! and never an answer that is wrong without a word.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::check::below;
use crate::harness::sandbox::fixture;
use crate::numbers::Numbers;
use crate::place::{Cut, Outcome, Place, Ran, run};
use crate::recipe::Recipe;

/// Components in the folder that is damaged.
const COMPONENTS: u32 = 9;
/// What is asked of a damaged folder; each answer has to be what it was, or an error that names what is damaged.
const QUESTIONS: &[&[&str]] = &[
    &["list"],
    &["show", "w0:n3@1.3.0"],
    &["show", "w0:n8"],
    &["graph"],
    &["order"],
    &["deps", "w0:n8", "--transitive"],
    &["errors"],
    &["settings"],
    &["index", "get", "answer", "20"],
    &["log"],
    &["wit", "w0:n5"],
    &["call", "w0:n8", "get()"],
    &["call", "w0:n2", "own()"],
    &["verify"],
];
/// What is soft: counters of use and captured output may get lost with the file that they are in. That they can be asked for is
/// all that is looked at.
const SOFT_QUESTIONS: &[&[&str]] = &[&["stats"], &["logs", "test:chatty"], &["call", "test:counter", "next"]];
/// Fields that differ from run to run, and those of the counters.
const SOFT_FIELDS: &[&str] = &["duration_us", "instance", "last_accessed", "access_count", "calls"];
/// Exit codes of refusals.
const REFUSALS: &[i32] = &[2, 3, 4, 5, 6, 7, 8, 70];

/// A data folder with something of everything in it, and what it answers.
pub(crate) struct Sound {
    place: Place,
    answers: Vec<Vec<Value>>,
}

/// One thing that happens to one file.
#[derive(Debug)]
enum Damage {
    Flip { byte: u64, bit: u64 },
    Cut { length: u64 },
}

impl Sound {
    pub(crate) fn new() -> Outcome<Self> {
        let place = Place::new("sound");
        fill(&place)?;
        let mut sound = Self { place, answers: Vec::new() };
        // What changes something comes first: counters of use, states, what components print.
        for question in SOFT_QUESTIONS.iter().chain(QUESTIONS) {
            let ran = run(sound.place.command(question), Cut::Never)?;
            if ran.code != 0 {
                return Err(format!("`runtime {}` of a sound folder: {ran:#?}", question.join(" ")));
            }
            sound.answers.push(normalized(&ran));
        }
        sound.answers.drain(..SOFT_QUESTIONS.len());
        Ok(sound)
    }

    /// Damages a copy at one place that follows from `seed`, and asks it.
    pub(crate) fn trial(&self, seed: u64) -> Outcome<()> {
        let mut numbers = Numbers::new(seed);
        let files: Vec<PathBuf> = below(&self.place.data())
            .into_iter()
            .map(|path| path.strip_prefix(self.place.data()).unwrap().to_owned())
            // A plain file that people write, without a checksum: another value that is valid cannot be told from a wish.
            .filter(|path| path != Path::new("registry.toml"))
            .filter(|path| std::fs::metadata(self.place.data().join(path)).unwrap().len() > 0)
            .collect();
        // First the folder, so that many blobs do not keep the few files of the journal from being chosen.
        let mut folders: Vec<_> = files.iter().map(|file| file.components().next().unwrap()).collect();
        folders.dedup();
        let folder = numbers.pick(&folders).unwrap();
        let inside: Vec<_> = files.iter().filter(|file| file.components().next().unwrap() == *folder).collect();
        let file = numbers.pick(&inside).unwrap();
        let copy = Place::new(&format!("damage-{seed}"));
        copy_folder(&self.place.data(), &copy.data());
        let damage = damage(&copy.data().join(file), &mut numbers);
        let told = |error: String| {
            let (file, folder) = (file.display(), copy.root.display());
            format!("trial with seed {seed}, {damage:?} of {file}: {error}\n{folder} has the folder as it is now")
        };
        self.ask(&copy, file).map_err(told)?;
        copy.remove();
        Ok(())
    }

    fn ask(&self, copy: &Place, file: &Path) -> Outcome<()> {
        let verified = run(copy.command(&["verify"]), Cut::Never)?;
        let is_sound = check_refusal(&verified, file)?.is_none();
        // Every byte of these is under a checksum.
        if is_sound && (file.starts_with("journal") || file.starts_with("blobs")) {
            return Err(format!("`verify` does not find it: {verified:#?}"));
        }
        for (question, answer) in QUESTIONS.iter().zip(&self.answers) {
            let ran = run(copy.command(question), Cut::Never)?;
            let Some(()) = check_refusal(&ran, file)?.is_none().then_some(()) else { continue };
            let given = normalized(&ran);
            let difference = match question[0] {
                // The journal may have more: what was refused meanwhile is in it.
                "log" if given.len() > answer.len() => {
                    difference("", &given[..answer.len()].into(), &answer[..].into())
                }
                "verify" => None,
                _ => difference("", &given.into(), &answer[..].into()),
            };
            if let Some(difference) = difference {
                let (question, said) = (question.join(" "), ran.stderr);
                return Err(format!("`runtime {question}` answers wrong, saying {said:?}: {difference}"));
            }
        }
        for question in SOFT_QUESTIONS {
            check_refusal(&run(copy.command(question), Cut::Never)?, file)?;
        }
        Ok(())
    }

    pub(crate) fn remove(self) {
        self.place.remove();
    }
}

/// Returns the refusal if it is one: with a proper exit code, and the name of the damaged file or of what is in it.
fn check_refusal(ran: &Ran, file: &Path) -> Outcome<Option<Value>> {
    if ran.code == 0 {
        return Ok(None);
    }
    let document = ran.document().filter(|_| REFUSALS.contains(&ran.code));
    let document = document.ok_or_else(|| format!("that is no refusal: {ran:#?}"))?;
    // The index is sled's, whose files are parts of one thing; it is made from the journal and may be removed as a whole.
    let name = match file.starts_with("index") {
        true => "/index/".into(),
        false => file.file_name().unwrap().to_string_lossy(),
    };
    match document.to_string().contains(&*name) {
        true => Ok(Some(document)),
        false => Err(format!("the refusal does not name the file: {ran:#?}")),
    }
}

/// Returns the documents of an answer without what differs from run to run.
fn normalized(ran: &Ran) -> Vec<Value> {
    let documents = serde_json::Deserializer::from_str(&ran.stdout).into_iter::<Value>();
    let mut documents: Vec<Value> = documents.map_while(Result::ok).collect();
    documents.iter_mut().for_each(strip);
    documents
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            SOFT_FIELDS.iter().for_each(|field| drop(map.remove(*field)));
            map.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Names the first place at which two documents differ.
fn difference(at: &str, given: &Value, was: &Value) -> Option<String> {
    match (given, was) {
        (Value::Array(given), Value::Array(was)) if given.len() == was.len() => {
            let mut pairs = given.iter().zip(was).enumerate();
            pairs.find_map(|(n, (given, was))| difference(&format!("{at}/{n}"), given, was))
        }
        (Value::Object(given), Value::Object(was)) if given.keys().eq(was.keys()) => {
            let mut pairs = given.iter().zip(was.values());
            pairs.find_map(|((key, given), was)| difference(&format!("{at}/{key}"), given, was))
        }
        _ if given == was => None,
        _ => Some(format!("{at} is {given}, and was {was}")),
    }
}

fn damage(path: &Path, numbers: &mut Numbers) -> Damage {
    let mut bytes = std::fs::read(path).unwrap();
    let damage = match numbers.percent(60) {
        true => Damage::Flip { byte: numbers.below(bytes.len() as u64), bit: numbers.below(8) },
        false => Damage::Cut { length: numbers.below(bytes.len() as u64) },
    };
    match damage {
        Damage::Flip { byte, bit } => bytes[usize::try_from(byte).unwrap()] ^= 1 << bit,
        Damage::Cut { length } => bytes.truncate(usize::try_from(length).unwrap()),
    }
    // In place: the owner and the mode stay.
    std::fs::write(path, bytes).unwrap();
    damage
}

/// Copies a folder with the modes of what is in it, which storage looks at.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let there = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &there),
            false => drop(std::fs::copy(entry.path(), there).unwrap()),
        }
    }
}

/// Makes a registry with two segments of the journal, a snapshot, two versions of a component, failures, states, code and output.
fn fill(place: &Place) -> Outcome<()> {
    let made = place.root.join("made");
    let recipe = |name: u32, version: u32, needs: &[u32]| Recipe {
        id: format!("w0:n{name}"),
        version: format!("1.{version}.0"),
        answer: version * 4,
        needs: needs.iter().map(|need| format!("w0:n{need}")).collect(),
        refuses: name == 4,
        padding: 500 * version as usize,
    };
    for name in 0..COMPONENTS {
        let needs: Vec<u32> = [name / 2, name / 3].into_iter().filter(|need| *need < name && *need != 4).collect();
        let needs = if name == 4 || (needs.len() == 2 && needs[0] == needs[1]) { vec![] } else { needs };
        recipe(name, name, &needs).write(&made);
    }
    let path = |folder: PathBuf| folder.to_str().unwrap().to_owned();
    let next = path(recipe(3, 20, &[1]).write(&place.root.join("next")).0);
    let fixtures = ["chatty", "counter"].map(|name| {
        let file = place.work().join(format!("{name}.wat"));
        std::fs::write(&file, fixture(&format!("{name}.wat"))).unwrap();
        path(file)
    });
    let commands: &[(&[&str], i32)] = &[
        (&["register", made.to_str().unwrap()], 0),
        (&["index", "create", "answer"], 0),
        (&["activate", "--all"], 7),
        (&["call", "w0:n2", "trap()"], 7),
        (&["settings", "limits.fuel=123_456_789"], 0),
        (&["compact"], 0),
        (&["register", &next, "--activate"], 0),
        (&["depend", "w0:n7", "--on", "w0:n5"], 0),
        (&["register", &fixtures[0], "--id", "test:chatty", "--version", "1.0.0", "--activate"], 0),
        (&["register", &fixtures[1], "--id", "test:counter", "--version", "1.0.0", "--activate"], 0),
        (&["call", "test:chatty", "speak()"], 0),
        (&["call", "test:counter", "next"], 0),
        (&["deactivate", "w0:n7"], 0),
    ];
    for (args, code) in commands {
        let ran = run(place.command(args), Cut::Never)?;
        if ran.code != *code {
            return Err(format!("`runtime {}`: {ran:#?}", args.join(" ")));
        }
    }
    Ok(())
}
