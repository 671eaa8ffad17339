//! What the instances of a component take of the host beside their memories and tables, which are limited when it runs.
//!
//! An instance of a core module has a place for each of its functions and globals. Few instances of large modules, or many of small
//! ones, are what components are made of; many instances of a large one would take gigabytes that no limit counts.

use domain::ports::EngineError;
use domain::units::format_size;
use wasmparser::{BinaryReaderError, ComponentInstance, Encoding, Instance, Payload};

use super::{Stop, refuse};

/// Most bytes that all core instances of a component may take together. The largest interpreters need a tenth of it.
pub(super) const INSTANCE_BYTES_MAX: u64 = 128 << 20;

/// Bytes that an instance has for a function, imported or its own.
const FUNCTION_BYTES: u64 = 32;

/// Bytes that an instance has for a global.
const GLOBAL_BYTES: u64 = 16;

/// Adds up, while a component is read, what its instances will take.
///
/// Never too little: every core instance counts as one of the largest module, and every instance of a component as one of the largest
/// component. Numbers saturate.
#[derive(Default)]
pub(super) struct Footprint {
    /// The modules and components that are being read, the outermost first.
    open: Vec<Part>,
    largest_module: u64,
    largest_component: u64,
}

/// A core module or a component that is being read.
#[derive(Default)]
struct Part {
    is_module: bool,
    /// What one instance of the module takes.
    bytes: u64,
    /// Core modules that the component makes instances of, each as often as it does.
    core_instances: u64,
    /// The same of components.
    instances: u64,
}

impl Footprint {
    /// Takes note of one piece of the binary, in order.
    pub(super) fn see(&mut self, payload: &Payload<'_>) -> Result<(), Stop> {
        if let Payload::Version { encoding, .. } = payload {
            self.open.push(Part { is_module: *encoding == Encoding::Module, ..Part::default() });
        }
        let Some(part) = self.open.last_mut() else { return Ok(()) };
        let mut add = |count: u32, each: u64| part.bytes = part.bytes.saturating_add(u64::from(count) * each);
        match payload {
            Payload::FunctionSection(section) => add(section.count(), FUNCTION_BYTES),
            Payload::ImportSection(section) => add(section.count(), FUNCTION_BYTES),
            Payload::GlobalSection(section) => add(section.count(), GLOBAL_BYTES),
            Payload::InstanceSection(section) => {
                let made = count(section.clone(), |instance| matches!(instance, Instance::Instantiate { .. }))?;
                part.core_instances = part.core_instances.saturating_add(made);
            }
            Payload::ComponentInstanceSection(section) => {
                let made =
                    count(section.clone(), |instance| matches!(instance, ComponentInstance::Instantiate { .. }))?;
                part.instances = part.instances.saturating_add(made);
            }
            Payload::End(_) => self.close()?,
            _ => {}
        }
        Ok(())
    }

    /// Ends the innermost module or component.
    fn close(&mut self) -> Result<(), EngineError> {
        let Some(part) = self.open.pop() else { return Ok(()) };
        if part.is_module {
            self.largest_module = self.largest_module.max(part.bytes);
            return Ok(());
        }
        let own = part.core_instances.saturating_mul(self.largest_module);
        let sum = own.saturating_add(part.instances.saturating_mul(self.largest_component));
        self.largest_component = self.largest_component.max(sum);
        if sum <= INSTANCE_BYTES_MAX {
            return Ok(());
        }
        let max = format_size(INSTANCE_BYTES_MAX);
        Err(refuse(&format!("its instances may take {sum} bytes beside their memories, at most {max} are allowed")))
    }
}

/// Counts the instances of a section that are made of a module or component, and not of what others export.
fn count<T>(
    section: impl IntoIterator<Item = Result<T, BinaryReaderError>>,
    is_made: impl Fn(&T) -> bool,
) -> Result<u64, Stop> {
    let mut made = 0;
    for instance in section {
        made += u64::from(is_made(&instance?));
    }
    Ok(made)
}
