//! Arguments and results of gates, as wasmtime hands them over: the one module that uses wasmtime's hidden half of the canonical ABI.
//!
//! wasmtime calls a component's functions either with a tree of `Val`s or with Rust types that are known when the host is compiled. A
//! gate knows its types when it is made. The types here stand between: to wasmtime they are Rust types with as many core values as
//! the function has; what is in them is followed by the [`Signature`] of the gate.
//!
//! What is used from `wasmtime::component::__internal` is pinned with wasmtime itself and may change with each of its releases. The
//! path with `Val`s stays beside this one, and tests compare the two on random types and values.
#![expect(unsafe_code, reason = "the canonical ABI is implemented by unsafe traits")]
#![expect(clippy::indexing_slicing, reason = "there are as many slots as the layout of the function's types says")]

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll};

use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentNamedList, ComponentType, Func, Lift, Lower, TypedFunc};
use wasmtime::{Store, ValRaw};

use super::shape::{FLAT_PARAMS_MAX, Signature};
use super::transfer::{Invalid, Source, Target};
use crate::state::StoreState;
use crate::unit::Visit;

/// Room that a result with pointers gets at first, for it and what it refers to.
const BUFFER_BYTES: usize = 256;

/// Nothing in memory: gates look after sizes and places themselves.
const NO_MEMORY: CanonicalAbiInfo =
    CanonicalAbiInfo { size32: 0, align32: 1, size64: 0, align64: 1, flat_count: Some(0) };

/// Makes types what wasmtime calls functions with: as many core values, of types that wasmtime need not compare.
macro_rules! core_values {
    ($(($($generics:tt)*) $ty:ty: $count:expr;)*) => {$(
        // SAFETY: `Lower` is an array of `ValRaw`, as long as the function's core values. Types are compared when the gate is made, for
        // the import that it is made for, and again whenever it finds another provider.
        unsafe impl<$($generics)*> ComponentType for $ty {
            type Lower = [ValRaw; $count];
            const ABI: CanonicalAbiInfo = NO_MEMORY;

            fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> wasmtime::Result<()> {
                Ok(())
            }
        }

        // SAFETY: see `ComponentType`.
        unsafe impl<$($generics)*> ComponentNamedList for $ty {}
    )*};
}

core_values! {
    (const N: usize) Passed<N>: N;
    () Entering<'_>: FLAT_PARAMS_MAX;
    () Left: 1;
    (const M: usize) Word<M>: M;
    (const M: usize) Returned<M>: M;
}

/// Arguments as a caller passed them: `N` core values, or one, the place of a tuple in the caller's memory.
pub(super) struct Passed<const N: usize> {
    slots: [u64; N],
    memory: CallerMemory,
}

/// The memory of a caller that waits in a gate.
#[derive(Clone, Copy)]
struct CallerMemory {
    start: *const u8,
    len: usize,
    encoding: StringEncoding,
}

// SAFETY: the pointer is only read, and only while the caller's store is held by the gate, which keeps everybody else away from it.
unsafe impl Send for CallerMemory {}
// SAFETY: as above.
unsafe impl Sync for CallerMemory {}

impl CallerMemory {
    fn of(cx: &LiftContext<'_>) -> Self {
        let memory = cx.memory();
        Self { start: memory.as_ptr(), len: memory.len(), encoding: cx.options().string_encoding }
    }

    /// Returns the memory as something to read arguments from, at most `budget` bytes of strings and lists.
    ///
    /// # Safety
    /// The caller's store must be held until the source is dropped, and none of its code may run in the meantime.
    unsafe fn source<'a>(self, budget: usize) -> Source<'a> {
        // SAFETY: wasmtime gave out the slice; without running code, memory neither moves nor changes.
        let memory = unsafe { std::slice::from_raw_parts(self.start, self.len) };
        Source { memory, encoding: self.encoding, budget }
    }
}

// SAFETY: nothing is believed of the values here; the gate checks them.
unsafe impl<const N: usize> Lift for Passed<N> {
    #[inline]
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, _: InterfaceType, src: &[ValRaw; N]) -> wasmtime::Result<Self> {
        Ok(Self { slots: std::array::from_fn(|slot| src[slot].get_u64()), memory: CallerMemory::of(cx) })
    }

    /// `bytes` is empty, but begins where the arguments do; wasmtime has checked that there is room for them.
    #[inline]
    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> wasmtime::Result<Self> {
        let place = bytes.as_ptr().addr().wrapping_sub(cx.memory().as_ptr().addr());
        Ok(Self { slots: std::array::from_fn(|_| place as u64), memory: CallerMemory::of(cx) })
    }
}

/// Arguments on their way into a provider; they are checked.
struct Entering<'a> {
    signature: &'a Signature,
    slots: &'a [u64],
    source: Source<'a>,
}

// SAFETY: as many core values are written as the function takes, each as wide as its type wants it or zero-extended.
unsafe impl Lower for Entering<'_> {
    #[inline]
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> wasmtime::Result<()> {
        let params = &self.signature.params;
        if !params.has_pointers && !self.signature.params_in_memory() {
            write(dst, self.slots);
            return Ok(());
        }
        let mut target = Guest::new(cx);
        if self.signature.params_in_memory() {
            let place = target.allocate(params.size, params.align)?;
            self.source.copy(params, index(self.slots.first().copied().unwrap_or(0)), &mut target, place)?;
            write(dst, &[place as u64]);
        } else {
            let mut slots = [0; FLAT_PARAMS_MAX];
            let slots = &mut slots[..self.slots.len()];
            slots.copy_from_slice(self.slots);
            self.source.copy_flat(params, slots, &mut target)?;
            write(dst, slots);
        }
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: usize,
    ) -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg("arguments of a gate are passed flat"))
    }
}

/// Writes core values, at most as many as there is room for.
fn write(dst: &mut MaybeUninit<[ValRaw; FLAT_PARAMS_MAX]>, slots: &[u64]) {
    let dst = dst.as_mut_ptr().cast::<ValRaw>();
    for (number, slot) in slots.iter().take(FLAT_PARAMS_MAX).enumerate() {
        // SAFETY: an array of as many `ValRaw`s is at `dst`.
        unsafe { dst.add(number).write(ValRaw::u64(*slot)) };
    }
}

/// What a provider returned: a core value, and whatever it refers to.
struct Left(Carried);

/// What a provider returned: `M` core values of which every one is a value.
struct Word<const M: usize>(u64);

// SAFETY: there is nothing to check.
unsafe impl<const M: usize> Lift for Word<M> {
    #[inline]
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, src: &[ValRaw; M]) -> wasmtime::Result<Self> {
        Ok(Self(src.first().map_or(0, |returned| returned.get_u64())))
    }

    fn linear_lift_from_memory(_: &mut LiftContext<'_>, _: InterfaceType, _: &[u8]) -> wasmtime::Result<Self> {
        Err(wasmtime::Error::msg("results of a gate are passed flat"))
    }
}

/// A result between two components.
pub(super) struct Carried {
    slot: u64,
    /// A result in memory, with all that it refers to; strings are UTF-8. Boxed: a result without it fits two registers.
    #[expect(clippy::box_collection, reason = "kept small")]
    buffer: Option<Box<Vec<u8>>>,
}

impl Carried {
    fn word(slot: u64) -> Self {
        Self { slot, buffer: None }
    }
}

/// What [`Left`] needs to know and wasmtime does not hand on.
struct Lifting {
    signature: *const Signature,
    budget: usize,
}

thread_local! {
    /// The call whose result is lifted next on this thread.
    static LIFTING: Cell<*const Lifting> = const { Cell::new(ptr::null()) };
}

/// Makes `lifting` known while `run` runs. Calls within it make their own known, and this one again when they are done.
fn with_lifting<R>(lifting: &Lifting, run: impl FnOnce() -> R) -> R {
    struct Before(*const Lifting);
    impl Drop for Before {
        fn drop(&mut self) {
            LIFTING.set(self.0);
        }
    }
    let _before = Before(LIFTING.replace(lifting));
    run()
}

// SAFETY: values are checked before anything is made of them.
unsafe impl Lift for Left {
    #[inline]
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        _: InterfaceType,
        [returned]: &[ValRaw; 1],
    ) -> wasmtime::Result<Self> {
        // SAFETY: null, or what `with_lifting` was given further up on this stack.
        let Some(lifting) = (unsafe { LIFTING.get().as_ref() }) else {
            return Err(wasmtime::Error::msg("a result was returned to no gate"));
        };
        // SAFETY: the call that lives in it borrows the signature for as long as it lasts.
        let signature = unsafe { &*lifting.signature };
        let mut source = Source { memory: cx.memory(), encoding: cx.options().string_encoding, budget: lifting.budget };
        if let Some(node) = signature.result_in_memory() {
            let place = index(returned.get_u64());
            source.check_at(node, place)?;
            let mut buffer =
                Buffer(Vec::with_capacity(node.size.max(if node.has_pointers { BUFFER_BYTES } else { 0 })));
            let at = buffer.allocate(node.size, node.align)?;
            source.copy(node, place, &mut buffer, at)?;
            return Ok(Self(Carried { slot: 0, buffer: Some(Box::new(buffer.0)) }));
        }
        let mut slot = [returned.get_u64()];
        if let Some(node) = &signature.result {
            source.check_flat(node, &mut slot)?;
        }
        Ok(Self(Carried::word(slot[0])))
    }

    fn linear_lift_from_memory(_: &mut LiftContext<'_>, _: InterfaceType, _: &[u8]) -> wasmtime::Result<Self> {
        Err(wasmtime::Error::msg("results of a gate are passed flat"))
    }
}

thread_local! {
    /// What the gate which was passed last on this thread returns, if that is one core value. Apart from other results: what need not be
    /// dropped is kept at no cost.
    static READY_WORD: Cell<Option<u64>> = const { Cell::new(None) };

    /// What that gate returns otherwise.
    static READY: Cell<Option<(Carried, Arc<Signature>)>> = const { Cell::new(None) };
}

/// A future that is done when it is made: wasmtime polls it before anything else runs on its thread. It has no size, so that no memory
/// is taken for it.
pub(super) struct Ready<const M: usize>(());

impl<const M: usize> Ready<M> {
    #[inline]
    pub(super) fn new(signature: &Arc<Signature>, carried: Carried) -> Self {
        match followed(signature) {
            None => READY_WORD.set(Some(carried.slot)),
            Some(signature) => READY.set(Some((carried, signature))),
        }
        Self(())
    }
}

impl<const M: usize> Future for Ready<M> {
    type Output = wasmtime::Result<Returned<M>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(slot) = READY_WORD.take() {
            return Poll::Ready(Ok(Returned { signature: None, carried: Carried::word(slot) }));
        }
        let ready = READY.take().ok_or_else(|| wasmtime::Error::msg("a gate returned twice"));
        Poll::Ready(ready.map(|(carried, signature)| Returned { signature: Some(signature), carried }))
    }
}

/// Returns the signature if a result is followed by it once more: if it lies in memory.
fn followed(signature: &Arc<Signature>) -> Option<Arc<Signature>> {
    signature.result_in_memory().is_some().then(|| Arc::clone(signature))
}

/// A result on its way to the caller.
pub(super) struct Returned<const M: usize> {
    signature: Option<Arc<Signature>>,
    carried: Carried,
}

impl<const M: usize> Returned<M> {
    pub(super) fn new(signature: &Arc<Signature>, carried: Carried) -> Self {
        Self { signature: followed(signature), carried }
    }
}

// SAFETY: all `M` core values are written.
unsafe impl<const M: usize> Lower for Returned<M> {
    #[inline]
    fn linear_lower_to_flat<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> wasmtime::Result<()> {
        dst.write([ValRaw::u64(self.carried.slot); M]);
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        offset: usize,
    ) -> wasmtime::Result<()> {
        let node = self.signature.as_deref().and_then(Signature::result_in_memory);
        let (Some(node), Some(buffer)) = (node, &self.carried.buffer) else {
            return Err(wasmtime::Error::msg("a result in memory that is none"));
        };
        let source = Source { memory: buffer, encoding: StringEncoding::Utf8, budget: 0 };
        source.copy(node, 0, &mut Guest::new(cx), offset)
    }
}

/// Arguments of a call that stands in a gate. Whoever has them holds the store of the caller, in whose memory they are.
pub(super) struct Arguments<'a> {
    signature: &'a Signature,
    slots: &'a mut [u64],
    memory: CallerMemory,
}

impl<'a> Arguments<'a> {
    pub(super) fn new<const N: usize>(signature: &'a Signature, passed: &'a mut Passed<N>) -> Self {
        Self { signature, slots: &mut passed.slots, memory: passed.memory }
    }

    /// Checks the arguments, at most `budget` bytes of strings and lists, and brings them into canonical form.
    #[inline]
    pub(super) fn check(&mut self, budget: usize) -> Result<(), Invalid> {
        if self.signature.are_words {
            return Ok(());
        }
        // SAFETY: the caller's store is held, see above, and nothing of it runs here.
        let mut source = unsafe { self.memory.source(budget) };
        let params = &self.signature.params;
        match &mut *self.slots {
            [place] if self.signature.params_in_memory() => source.check_at(params, index(*place)),
            slots => source.check_flat(params, slots),
        }
    }

    fn entering(&self) -> Entering<'_> {
        // SAFETY: the caller waits until the provider has returned.
        let source = unsafe { self.memory.source(0) };
        Entering { signature: self.signature, slots: self.slots, source }
    }
}

impl Visit for Arguments<'_> {
    type Value = Carried;

    async fn call(&self, store: &mut Store<StoreState>, function: Func) -> wasmtime::Result<Carried> {
        match (self.signature.is_result_word, self.signature.result.is_some()) {
            (false, _) => {
                let lifting = Known(Lifting { signature: self.signature, budget: store.hostcall_fuel() });
                // SAFETY: the types of the function are those of the gate's signature.
                let function: TypedFunc<Entering<'_>, Left> = unsafe { TypedFunc::new_unchecked(function) };
                Ok(lifted(&lifting, function.call_async(store, self.entering())).await?.0)
            }
            (true, true) => {
                // SAFETY: as above.
                let function: TypedFunc<Entering<'_>, Word<1>> = unsafe { TypedFunc::new_unchecked(function) };
                Ok(Carried::word(function.call_async(store, self.entering()).await?.0))
            }
            (true, false) => {
                // SAFETY: as above.
                let function: TypedFunc<Entering<'_>, Word<0>> = unsafe { TypedFunc::new_unchecked(function) };
                Ok(Carried::word(function.call_async(store, self.entering()).await?.0))
            }
        }
    }

    #[inline]
    fn call_now(&self, store: &mut Store<StoreState>, function: Func) -> wasmtime::Result<Carried> {
        match (self.signature.is_result_word, self.signature.result.is_some()) {
            (false, _) => {
                let lifting = Lifting { signature: self.signature, budget: store.hostcall_fuel() };
                // SAFETY: the types of the function are those of the gate's signature.
                let function: TypedFunc<Entering<'_>, Left> = unsafe { TypedFunc::new_unchecked(function) };
                with_lifting(&lifting, || Ok(function.call(store, self.entering())?.0))
            }
            (true, true) => {
                // SAFETY: as above.
                let function: TypedFunc<Entering<'_>, Word<1>> = unsafe { TypedFunc::new_unchecked(function) };
                Ok(Carried::word(function.call(store, self.entering())?.0))
            }
            (true, false) => {
                // SAFETY: as above.
                let function: TypedFunc<Entering<'_>, Word<0>> = unsafe { TypedFunc::new_unchecked(function) };
                Ok(Carried::word(function.call(store, self.entering())?.0))
            }
        }
    }
}

/// A [`Lifting`] that goes with its call from thread to thread.
struct Known(Lifting);

// SAFETY: the signature that it points to is shared and never changes.
unsafe impl Send for Known {}
// SAFETY: as above.
unsafe impl Sync for Known {}

/// Runs `call` with `lifting` known whenever it runs, on whichever thread that is.
async fn lifted<R>(lifting: &Known, call: impl Future<Output = R>) -> R {
    let mut call = pin!(call);
    poll_fn(|context| with_lifting(&lifting.0, || call.as_mut().poll(context))).await
}

/// The memory of a component that values are written to.
struct Guest<'a, 'b, T: 'static> {
    cx: &'a mut LowerContext<'b, T>,
    /// The memory as it was after the guest's code ran last; to find it takes longer than most of what is written.
    memory: *mut [u8],
}

impl<'a, 'b, T> Guest<'a, 'b, T> {
    fn new(cx: &'a mut LowerContext<'b, T>) -> Self {
        let memory = ptr::from_mut(cx.as_slice_mut());
        Self { cx, memory }
    }

    /// Does what may run the guest's code, after which its memory may be elsewhere.
    fn run<R>(&mut self, run: impl FnOnce(&mut LowerContext<'b, T>) -> wasmtime::Result<R>) -> wasmtime::Result<R> {
        let result = run(self.cx);
        self.memory = ptr::from_mut(self.cx.as_slice_mut());
        result
    }
}

impl<T> Target for Guest<'_, '_, T> {
    fn allocate(&mut self, size: usize, align: usize) -> wasmtime::Result<usize> {
        let align = u32::try_from(align)?;
        // wasmtime checks what the guest answers.
        self.run(|cx| cx.realloc(0, 0, align, size))
    }

    #[inline]
    fn memory(&mut self) -> &mut [u8] {
        // SAFETY: the context, borrowed for as long as this is, gave it out, and nothing has run since that could move it.
        unsafe { &mut *self.memory }
    }

    fn string(&mut self, text: &str) -> wasmtime::Result<(u32, u32)> {
        self.run(|cx| {
            let mut place = MaybeUninit::uninit();
            text.linear_lower_to_flat(cx, InterfaceType::String, &mut place)?;
            // SAFETY: lowering has written both.
            let [pointer, len] = unsafe { place.assume_init() };
            Ok((pointer.get_u32(), len.get_u32()))
        })
    }

    fn is_utf8(&self) -> bool {
        self.cx.options().string_encoding == StringEncoding::Utf8
    }
}

/// Memory of the host that a result waits in.
struct Buffer(Vec<u8>);

impl Target for Buffer {
    fn allocate(&mut self, size: usize, align: usize) -> wasmtime::Result<usize> {
        let at = self.0.len().next_multiple_of(align);
        let end = at.checked_add(size).filter(|end| u32::try_from(*end).is_ok()).ok_or(Invalid::TooMuch)?;
        self.0.resize(end, 0);
        Ok(at)
    }

    fn put(&mut self, bytes: &[u8], align: usize) -> wasmtime::Result<usize> {
        let at = self.allocate(0, align)?;
        u32::try_from(at.saturating_add(bytes.len())).map_err(|_| Invalid::TooMuch)?;
        self.0.extend_from_slice(bytes);
        Ok(at)
    }

    fn memory(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn string(&mut self, text: &str) -> wasmtime::Result<(u32, u32)> {
        let at = self.put(text.as_bytes(), 1)?;
        Ok((u32::try_from(at)?, u32::try_from(text.len())?))
    }

    fn is_utf8(&self) -> bool {
        true
    }
}

/// Returns a 32-bit address as an index.
fn index(word: u64) -> usize {
    word as u32 as usize
}
