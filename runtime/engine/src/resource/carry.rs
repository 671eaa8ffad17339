//! Values with handles in them, on their way from one store to another.

use std::sync::Arc;

use wasmtime::component::types::{ComponentFunc, Type};
use wasmtime::component::{Func, ResourceAny, ResourceDynamic, Val};
use wasmtime::{AsContextMut, Store, StoreContextMut};

use super::{Held, ResourceNames};
use crate::failure::Interrupt;
use crate::limiter::number;
use crate::state::StoreState;
use crate::unit::{ComponentUnit, Visit};

/// A handle between two stores. In the values that it goes with, its place in the list stands for it.
pub(crate) struct Handover {
    held: Arc<Held>,
    is_owned: bool,
}

impl Handover {
    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }
}

/// Calls each handle in `value`, a value of type `ty`, and puts what `change` makes of it in its place.
fn each_handle<E>(
    ty: &Type,
    value: &mut Val,
    change: &mut impl FnMut(&Type, &mut Val) -> Result<(), E>,
) -> Result<(), E> {
    match (ty, value) {
        (Type::Own(_) | Type::Borrow(_), value) => change(ty, value),
        (Type::List(list), Val::List(values)) => {
            // Most lists hold none.
            let ty = list.ty();
            if !has_handles(&ty) {
                return Ok(());
            }
            values.iter_mut().try_for_each(|value| each_handle(&ty, value, change))
        }
        (Type::Record(record), Val::Record(fields)) => {
            record.fields().zip(fields).try_for_each(|(field, (_, value))| each_handle(&field.ty, value, change))
        }
        (Type::Tuple(tuple), Val::Tuple(values)) => {
            tuple.types().zip(values).try_for_each(|(ty, value)| each_handle(&ty, value, change))
        }
        (Type::Option(option), Val::Option(Some(value))) => each_handle(&option.ty(), value, change),
        (Type::Result(result), Val::Result(value)) => {
            let (ty, value) = match value {
                Ok(value) => (result.ok(), value),
                Err(value) => (result.err(), value),
            };
            match (ty, value) {
                (Some(ty), Some(value)) => each_handle(&ty, value, change),
                _ => Ok(()),
            }
        }
        (Type::Variant(variant), Val::Variant(name, Some(value))) => {
            let case = variant.cases().find(|case| case.name == name.as_str()).and_then(|case| case.ty);
            case.map_or(Ok(()), |ty| each_handle(&ty, value, change))
        }
        _ => Ok(()),
    }
}

/// Tells whether values of a type can hold handles.
pub(crate) fn has_handles(ty: &Type) -> bool {
    match ty {
        Type::Own(_) | Type::Borrow(_) => true,
        Type::List(list) => has_handles(&list.ty()),
        Type::Record(record) => record.fields().any(|field| has_handles(&field.ty)),
        Type::Tuple(tuple) => tuple.types().any(|ty| has_handles(&ty)),
        Type::Option(option) => has_handles(&option.ty()),
        Type::Result(result) => [result.ok(), result.err()].iter().flatten().any(has_handles),
        Type::Variant(variant) => variant.cases().filter_map(|case| case.ty).any(|ty| has_handles(&ty)),
        _ => false,
    }
}

/// Takes the handles out of arguments that a caller passed.
pub(crate) fn take_args(
    store: &mut StoreContextMut<'_, StoreState>,
    function: &ComponentFunc,
    args: &[Val],
) -> wasmtime::Result<(Vec<Val>, Vec<Handover>)> {
    let mut args = args.to_vec();
    let mut handed = Vec::new();
    let mut failed = Ok(());
    for ((_, ty), value) in function.params().zip(&mut args) {
        // Each borrow must be given up before the call ends, even if another argument is wrong.
        each_handle(&ty, value, &mut |_, value| {
            let taken = take_one(store, value);
            if let Ok(handover) = taken {
                *value = place_of(&handed);
                handed.push(handover);
            } else if failed.is_ok() {
                failed = taken.map(drop);
            }
            Ok::<_, wasmtime::Error>(())
        })?;
    }
    failed.map(|()| (args, handed))
}

fn take_one(store: &mut StoreContextMut<'_, StoreState>, value: &Val) -> wasmtime::Result<Handover> {
    let handle = resource(value)?;
    let handle = handle.try_into_resource_dynamic(store.as_context_mut())?;
    let handles = &mut store.data_mut().handles;
    let (held, is_owned) = match handle.owned() {
        true => (handles.remove(handle.rep()), true),
        false => (handles.get(handle.rep()).cloned(), false),
    };
    Ok(Handover { held: held.ok_or_else(unknown)?, is_owned })
}

/// Gives a caller the handles in a result.
pub(crate) fn give_result(
    store: &mut StoreContextMut<'_, StoreState>,
    function: &ComponentFunc,
    value: &mut Val,
    handed: Vec<Arc<Held>>,
) -> wasmtime::Result<()> {
    let mut handed: Vec<_> = handed.into_iter().map(Some).collect();
    for ty in function.results() {
        each_handle(&ty, value, &mut |_, value| {
            let held = at(value).and_then(|place| handed.get_mut(place)?.take()).ok_or_else(unknown)?;
            *value = Val::Resource(own(store.as_context_mut(), held)?);
            Ok::<_, wasmtime::Error>(())
        })?;
    }
    Ok(())
}

/// Makes a handle of the host's in `store` that stands for one of another component.
fn own(mut store: impl AsContextMut<Data = StoreState>, held: Arc<Held>) -> wasmtime::Result<ResourceAny> {
    let mut store = store.as_context_mut();
    let most = number(store.data().limits().handles);
    let ty = held.ty;
    let number = store.data_mut().handles.insert(held, most)?;
    ResourceDynamic::new_own(number, ty).try_into_resource_any(store)
}

/// Calls a function with handles among its arguments or in its result.
pub(crate) struct Handing<'a> {
    /// Of the unit that is called.
    pub(crate) unit: &'a Arc<ComponentUnit>,
    pub(crate) function: &'a ComponentFunc,
    pub(crate) args: &'a [Val],
    pub(crate) handed: &'a [Handover],
}

impl Handing<'_> {
    /// Puts handles of the provider's store in the place of those that are handed over, and returns what was lent.
    fn give_args(&self, store: &mut Store<StoreState>) -> wasmtime::Result<(Vec<Val>, Vec<ResourceAny>)> {
        let mut args = self.args.to_vec();
        let mut lent = Vec::new();
        for ((_, ty), value) in self.function.params().zip(&mut args) {
            each_handle(&ty, value, &mut |_, value| {
                let handover = at(value).and_then(|place| self.handed.get(place)).ok_or_else(unknown)?;
                let is_own = Arc::ptr_eq(&handover.held.tether, store.data().tether());
                *value = Val::Resource(match (is_own, handover.is_owned) {
                    // What it made itself.
                    (true, true) => handover.held.give_back().ok_or_else(unknown)?,
                    (true, false) => handover.held.lend().ok_or_else(unknown)?,
                    (false, true) => own(&mut *store, Arc::clone(&handover.held))?,
                    (false, false) => {
                        let handle = own(&mut *store, Arc::clone(&handover.held))?;
                        lent.push(handle);
                        handle
                    }
                });
                Ok::<_, wasmtime::Error>(())
            })?;
        }
        Ok((args, lent))
    }

    /// Takes the handles out of a result.
    fn take_result(&self, store: &mut Store<StoreState>, value: &mut Val) -> wasmtime::Result<Vec<Arc<Held>>> {
        let names = Some(self.unit.resources());
        let names: &ResourceNames = names.ok_or_else(unknown)?;
        let mut handed = Vec::new();
        for ty in self.function.results() {
            each_handle(&ty, value, &mut |ty, value| {
                let handle = resource(value)?;
                let held = match handle.try_into_resource_dynamic(&mut *store) {
                    // Somebody else's, which it held.
                    Ok(handle) => store.data_mut().handles.remove(handle.rep()).ok_or_else(unknown)?,
                    Err(_) => {
                        let Type::Own(ty) = ty else { return Err(unknown()) };
                        let number = names.number(ty).ok_or_else(unknown)?;
                        Arc::new(Held::new(number, self.unit, store.data().tether(), handle))
                    }
                };
                *value = Val::U64(u64::try_from(handed.len())?);
                handed.push(held);
                Ok::<_, wasmtime::Error>(())
            })?;
        }
        Ok(handed)
    }

    /// Ends what was lent for the call.
    fn end_loans(store: &mut Store<StoreState>, lent: Vec<ResourceAny>) -> wasmtime::Result<()> {
        for handle in lent {
            let handle = handle.try_into_resource_dynamic(&mut *store)?;
            store.data_mut().handles.remove(handle.rep());
        }
        Ok(())
    }
}

impl Visit for Handing<'_> {
    type Value = (Option<Val>, Vec<Arc<Held>>);

    async fn call(&self, store: &mut Store<StoreState>, function: Func) -> wasmtime::Result<Self::Value> {
        let (args, lent) = self.give_args(store)?;
        let mut value = (self.function.results().len() > 0).then_some(Val::Bool(false));
        function.call_async(&mut *store, &args, value.as_mut_slice()).await?;
        Self::end_loans(store, lent)?;
        let handed = match &mut value {
            Some(value) => self.take_result(store, value)?,
            None => Vec::new(),
        };
        Ok((value, handed))
    }

    fn call_now(&self, _: &mut Store<StoreState>, _: Func) -> wasmtime::Result<Self::Value> {
        Err(wasmtime::Error::msg("handles may have to be waited for"))
    }
}

fn resource(value: &Val) -> wasmtime::Result<ResourceAny> {
    match value {
        Val::Resource(handle) => Ok(*handle),
        _ => Err(unknown()),
    }
}

/// The value that stands for the next handle of a list.
fn place_of(handed: &[Handover]) -> Val {
    Val::U64(handed.len() as u64)
}

fn at(value: &Val) -> Option<usize> {
    match value {
        Val::U64(place) => usize::try_from(*place).ok(),
        _ => None,
    }
}

fn unknown() -> wasmtime::Error {
    Interrupt::UnknownHandle.into()
}
