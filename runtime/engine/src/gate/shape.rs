//! The types of a function as the canonical ABI lays them out, worked out once when a gate is made.

use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;

/// Most core values that parameters are passed in; more of them go through memory. From the canonical ABI.
pub(crate) const FLAT_PARAMS_MAX: usize = 16;

/// Most core values that a result is passed in; more of them go through memory. From the canonical ABI.
pub(crate) const FLAT_RESULTS_MAX: usize = 1;

/// Most parts of a function's types that are laid out; types that share parts can unfold to millions.
const PARTS_MAX: usize = 10_000;

/// Deepest nesting of types that is laid out: values are followed by recursion, on a guest's fiber.
const DEPTH_MAX: usize = 64;

/// The layout of a function's parameters and of its result.
#[derive(Debug)]
pub(crate) struct Signature {
    /// The parameters, laid out as a tuple of them.
    pub(crate) params: Node,
    /// Whether the parameters are numbers that are as wide as the core values they are passed in: there is nothing to check.
    pub(crate) are_words: bool,
    /// The result, if the function has one.
    pub(crate) result: Option<Node>,
    /// Whether there is no result, or one in which there is nothing to check either.
    pub(crate) is_result_word: bool,
}

/// A type, with the place that its values take.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) shape: Shape,
    /// Bytes in memory.
    pub(crate) size: usize,
    /// Alignment in memory.
    pub(crate) align: usize,
    /// Core values when passed flat.
    pub(crate) flat: usize,
    /// Whether every pattern of bytes is a value and stands for itself: it is copied as it is.
    pub(crate) is_plain: bool,
    /// Whether a pattern of bytes can fail to be a value.
    pub(crate) is_checked: bool,
    /// Whether a value refers to more memory than its own.
    pub(crate) has_pointers: bool,
}

/// What a value is made of.
#[derive(Debug)]
pub(crate) enum Shape {
    /// An unsigned or floating-point number of as many bytes as its size.
    Number,
    /// A signed number of 8 or 16 bits: flat, its sign reaches through all 32.
    Narrow,
    Bool,
    Char,
    /// As many flags, low bits first.
    Flags(usize),
    String,
    List(Box<Node>),
    Record(Fields),
    Variant(Box<Cases>),
}

/// The fields of a record or tuple.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Each with its offset.
    pub(crate) all: Box<[(usize, Node)]>,
    /// How the record is copied in memory.
    pub(crate) steps: Box<[Step]>,
}

/// One step of copying a record.
#[derive(Debug)]
pub(crate) enum Step {
    /// As many bytes, which are plain fields without gaps.
    Bytes { at: usize, len: usize },
    /// The field with this number.
    Field(usize),
}

impl Fields {
    fn new(all: Vec<(usize, Node)>) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        for (number, (offset, node)) in all.iter().enumerate() {
            match steps.last_mut() {
                _ if !node.is_plain => steps.push(Step::Field(number)),
                Some(Step::Bytes { at, len }) if *at + *len == *offset => *len += node.size,
                _ => steps.push(Step::Bytes { at: *offset, len: node.size }),
            }
        }
        Self { all: all.into_boxed_slice(), steps: steps.into_boxed_slice() }
    }
}

/// The cases of a variant, enum, option or result.
#[derive(Debug)]
pub(crate) struct Cases {
    /// Bytes of the discriminant: 1, 2 or 4.
    pub(crate) discriminant: usize,
    /// Where a payload begins.
    pub(crate) payload: usize,
    /// What each case carries.
    pub(crate) payloads: Box<[Option<Node>]>,
}

impl Signature {
    /// Lays out the types of `function`; `None` if it has types that only whole values can carry across.
    pub(crate) fn of(function: &ComponentFunc) -> Option<Self> {
        let mut layout = Layout { parts: PARTS_MAX };
        let params = function.params().map(|(_, ty)| layout.node(&ty, DEPTH_MAX)).collect::<Option<Vec<_>>>()?;
        let mut results = function.results();
        let result = match results.next() {
            Some(ty) => Some(layout.node(&ty, DEPTH_MAX)?),
            None => None,
        };
        let is_word = |node: &Node| matches!(node.shape, Shape::Number) && node.size >= 4;
        let are_words = params.len() <= FLAT_PARAMS_MAX && params.iter().all(is_word);
        let is_result_word = result.iter().all(is_word);
        results.next().is_none().then(|| Self { params: record(params), are_words, result, is_result_word })
    }

    /// Tells whether the parameters are passed in memory.
    pub(crate) fn params_in_memory(&self) -> bool {
        self.params.flat > FLAT_PARAMS_MAX
    }

    /// Returns how many core values the parameters are passed in.
    pub(crate) fn param_slots(&self) -> usize {
        if self.params_in_memory() { 1 } else { self.params.flat }
    }

    /// Returns the result if it is passed in memory.
    pub(crate) fn result_in_memory(&self) -> Option<&Node> {
        self.result.as_ref().filter(|node| node.flat > FLAT_RESULTS_MAX)
    }
}

/// What is left of the bounds while types are laid out.
struct Layout {
    parts: usize,
}

impl Layout {
    fn node(&mut self, ty: &Type, depth: usize) -> Option<Node> {
        self.parts = self.parts.checked_sub(1)?;
        let depth = depth.checked_sub(1)?;
        Some(match ty {
            Type::U8 => number(1),
            Type::U16 => number(2),
            Type::U32 | Type::S32 | Type::Float32 => number(4),
            Type::U64 | Type::S64 | Type::Float64 => number(8),
            Type::S8 => Node { shape: Shape::Narrow, ..number(1) },
            Type::S16 => Node { shape: Shape::Narrow, ..number(2) },
            // Any byte but zero is true, and true is passed on as one.
            Type::Bool => Node { shape: Shape::Bool, is_plain: false, ..number(1) },
            Type::Char => Node { shape: Shape::Char, is_plain: false, is_checked: true, ..number(4) },
            Type::String => pointer(Shape::String),
            Type::List(list) => pointer(Shape::List(Box::new(self.node(&list.ty(), depth)?))),
            Type::Record(fields) => {
                record(fields.fields().map(|field| self.node(&field.ty, depth)).collect::<Option<Vec<_>>>()?)
            }
            Type::Tuple(tuple) => record(tuple.types().map(|ty| self.node(&ty, depth)).collect::<Option<Vec<_>>>()?),
            Type::Flags(flags) => flags_node(flags.names().len()),
            Type::Enum(cases) => variant(cases.names().map(|_| None).collect()),
            Type::Variant(cases) => self.cases(cases.cases().map(|case| case.ty), depth)?,
            Type::Option(option) => self.cases([None, Some(option.ty())].into_iter(), depth)?,
            Type::Result(result) => self.cases([result.ok(), result.err()].into_iter(), depth)?,
            Type::Own(_) | Type::Borrow(_) | Type::Future(_) | Type::Stream(_) | Type::ErrorContext => return None,
            Type::Map(_) | Type::FixedLengthList(_) => return None,
        })
    }

    fn cases(&mut self, types: impl Iterator<Item = Option<Type>>, depth: usize) -> Option<Node> {
        let mut payloads = Vec::new();
        for ty in types {
            payloads.push(match ty {
                Some(ty) => Some(self.node(&ty, depth)?),
                None => None,
            });
        }
        Some(variant(payloads))
    }
}

fn number(size: usize) -> Node {
    Node { shape: Shape::Number, size, align: size, flat: 1, is_plain: true, is_checked: false, has_pointers: false }
}

/// Pointer and length.
fn pointer(shape: Shape) -> Node {
    Node { shape, size: 8, align: 4, flat: 2, is_plain: false, is_checked: true, has_pointers: true }
}

fn flags_node(count: usize) -> Node {
    let (size, align) = match count {
        0..=8 => (1, 1),
        9..=16 => (2, 2),
        _ => (4 * count.div_ceil(32), 4),
    };
    let is_plain = count == 8 * size;
    Node { shape: Shape::Flags(count), size, align, flat: size.div_ceil(4), is_plain, ..number(1) }
}

fn record(nodes: Vec<Node>) -> Node {
    let (mut end, mut align, mut flat, mut has_gaps) = (0_usize, 1, 0, false);
    let mut fields = Vec::with_capacity(nodes.len());
    for node in nodes {
        let at = end.next_multiple_of(node.align);
        has_gaps |= at != end;
        end = at + node.size;
        align = align.max(node.align);
        flat += node.flat;
        fields.push((at, node));
    }
    let size = end.next_multiple_of(align);
    // What lies in a gap is nobody's business but the guest's: a value with gaps is not copied as one.
    has_gaps |= size != end;
    let any = |is: fn(&Node) -> bool| fields.iter().any(|(_, node)| is(node));
    Node {
        size,
        align,
        flat,
        is_plain: !has_gaps && !any(|node| !node.is_plain),
        is_checked: any(|node| node.is_checked),
        has_pointers: any(|node| node.has_pointers),
        shape: Shape::Record(Fields::new(fields)),
    }
}

fn variant(payloads: Vec<Option<Node>>) -> Node {
    let discriminant: usize = match payloads.len() {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    };
    let carried = || payloads.iter().flatten();
    let payload_align = carried().map(|node| node.align).max().unwrap_or(1);
    let payload = discriminant.next_multiple_of(payload_align);
    let align = discriminant.max(payload_align);
    let size = (payload + carried().map(|node| node.size).max().unwrap_or(0)).next_multiple_of(align);
    Node {
        size,
        align,
        flat: 1 + carried().map(|node| node.flat).max().unwrap_or(0),
        is_plain: false,
        is_checked: true,
        has_pointers: carried().any(|node| node.has_pointers),
        shape: Shape::Variant(Box::new(Cases { discriminant, payload, payloads: payloads.into_boxed_slice() })),
    }
}
