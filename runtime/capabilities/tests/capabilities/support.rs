//! An engine with the default capabilities and everything else in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use domain::call::{CallExpression, CallId, CallOutcome, CallRequest, Caller};
use domain::ports::{
    CallRecord, Clock, CodeCache, CodeKey, CodeWriter, Engine, EngineError, EngineObserver, OutputLine, OutputSink,
    OutputStream, Refusal, SourceError, StorageError, Unit, UnitSource, UnitSpec,
};
use domain::{ComponentId, Digest, Failure, Limits, Timestamp};
use engine::{CompileParts, CompileWith, EngineParts, EngineSettings, WasmtimeEngine};

pub(crate) struct World {
    engine: WasmtimeEngine,
    lines: Arc<Lines>,
}

#[derive(Default)]
struct Lines(Mutex<Vec<OutputLine>>);

impl OutputSink for Lines {
    fn write(&self, _: &ComponentId, lines: &[OutputLine]) {
        self.0.lock().unwrap().extend_from_slice(lines);
    }
}

struct Deaf;

impl EngineObserver for Deaf {
    fn failed(&self, _: Failure) {}
    fn called(&self, _: CallRecord<'_>) {}
}

impl Clock for Deaf {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
}

impl CodeCache for Deaf {
    fn find(&self, _: &CodeKey) -> Option<PathBuf> {
        None
    }

    fn begin(&self, _: &CodeKey) -> Result<Box<dyn CodeWriter + '_>, StorageError> {
        Err(StorageError::Closed)
    }

    fn remove(&self, _: &CodeKey) {}

    fn lines(&self, _: &CodeKey) -> Option<Vec<u8>> {
        None
    }

    fn keep_lines(&self, _: &CodeKey, _: &[u8]) -> Result<(), StorageError> {
        Err(StorageError::Closed)
    }

    fn refusal(&self, _: &CodeKey, _: &str, _: Timestamp) -> Option<Refusal> {
        None
    }

    fn refuse(&self, _: &CodeKey, _: &Refusal) {}
}

struct Bytes(Arc<[u8]>);

impl UnitSource for Bytes {
    fn bytes(&self, _: &Digest) -> Result<Arc<[u8]>, SourceError> {
        Ok(Arc::clone(&self.0))
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let lines = Arc::new(Lines::default());
        let parts = EngineParts {
            settings: EngineSettings::default(),
            code: Arc::new(Deaf),
            observer: Arc::new(Deaf),
            output: Arc::clone(&lines) as Arc<dyn OutputSink>,
            clock: Arc::new(Deaf),
            capabilities: capabilities::default_set(),
            progress: None,
            compile: CompileParts {
                with: CompileWith::ThisProcess,
                settings: domain::settings::CompileSettings::default(),
                on_warning: None,
            },
        };
        Self { engine: WasmtimeEngine::new(parts).unwrap(), lines }
    }

    pub(crate) fn spec(&self, wat: &str) -> UnitSpec {
        let bytes = self.engine.to_binary(wat.as_bytes()).unwrap().into_owned();
        UnitSpec {
            id: "demo:guest".parse().unwrap(),
            revision: 1,
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            source: Arc::new(Bytes(bytes.into())),
            limits: Limits::DEFAULT,
            grants: domain::GrantSet::default(),
            callers: domain::callers::Callers::default(),
            config: BTreeMap::from([("colour".to_owned(), "blue".to_owned())]),
            links: Vec::new(),
            state: None,
            progress: None,
            instances: domain::ports::InstancePolicy::default(),
        }
    }

    pub(crate) async fn unit(&self, wat: &str) -> Arc<dyn Unit> {
        self.prepared(self.spec(wat)).await
    }

    pub(crate) async fn prepared(&self, spec: UnitSpec) -> Arc<dyn Unit> {
        self.engine.prepare(spec).await.map_err(|f| f.message).unwrap()
    }

    pub(crate) async fn limited(&self, wat: &str, limits: Limits) -> Arc<dyn Unit> {
        let spec = UnitSpec { limits, ..self.spec(wat) };
        self.engine.prepare(spec).await.map_err(|f| f.message).unwrap()
    }

    pub(crate) async fn refusal(&self, wat: &str) -> Failure {
        match self.engine.prepare(self.spec(wat)).await {
            Ok(_) => panic!("it was linked"),
            Err(failure) => failure,
        }
    }

    /// Returns what was printed and logged, `stream | text`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.lines.0.lock().unwrap());
        lines
            .into_iter()
            .map(|line| match line.stream {
                OutputStream::Stdout => format!("stdout | {}", line.text),
                OutputStream::Stderr => format!("stderr | {}", line.text),
                OutputStream::Log { level, context } => format!("{level} {context} | {}", line.text),
            })
            .collect()
    }
}

pub(crate) fn wave(expression: &str) -> CallRequest {
    CallRequest {
        expression: CallExpression::Wave(expression.to_owned()),
        caller: Caller {
            call_id: CallId::new(7),
            chain: Vec::new(),
            principal: Some("ada".into()),
            context: BTreeMap::from([("trace".to_owned(), "t1".to_owned())]),
        },
        ..CallRequest::default()
    }
}

pub(crate) async fn call(unit: &Arc<dyn Unit>, expression: &str) -> CallOutcome {
    unit.call(wave(expression)).await.map_err(|e| e.to_string()).unwrap()
}

pub(crate) async fn failure(unit: &Arc<dyn Unit>, expression: &str) -> Failure {
    match unit.call(wave(expression)).await {
        Err(EngineError::Failed(failure)) => *failure,
        other => panic!("{other:?}"),
    }
}
