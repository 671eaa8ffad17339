use std::sync::Arc;

use domain::ComponentId;
use domain::ports::{OutputLine, OutputSink};

/// Hands guests' lines to several sinks, in order.
pub(crate) struct Tee(pub(crate) Vec<Arc<dyn OutputSink>>);

impl OutputSink for Tee {
    fn write(&self, component: &ComponentId, lines: &[OutputLine]) {
        for sink in &self.0 {
            sink.write(component, lines);
        }
    }
}
