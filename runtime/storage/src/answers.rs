//! The questions of a `StateView`, which both stores answer in the same way.

/// Writes the methods of `StateView`, all but `last_seq`, for a type with a method `ask` that hands a
/// [`RowsView`](crate::index::RowsView) to a question.
macro_rules! answers_by_asking {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $answer:ty;)+) => {
        $(fn $name(&self $(, $arg: $ty)*) -> Result<$answer, domain::ports::StorageError> {
            self.ask(|view| view.$name($($arg),*))
        })+
    };
    () => {
        answers_by_asking! {
            entry(id: &domain::ComponentId) -> Option<std::sync::Arc<domain::Entry>>;
            revision(id: &domain::ComponentId, number: u32) -> Option<std::sync::Arc<domain::Revision>>;
            revisions(id: &domain::ComponentId) -> Vec<std::sync::Arc<domain::Revision>>;
            dependents(id: &domain::ComponentId) -> Vec<domain::ComponentId>;
            find(index: &str, key: &str) -> Vec<domain::ComponentId>;
            count(index: &str, key: &str) -> u64;
            index_keys(index: &str) -> Vec<(String, u64)>;
            ids(after: Option<&domain::ComponentId>, limit: usize) -> Vec<domain::ComponentId>;
            failures(id: Option<&domain::ComponentId>, limit: usize) -> Vec<domain::failure::LoggedFailure>;
            usage(id: &domain::ComponentId) -> domain::usage::Usage;
            custom_indexes() -> Vec<String>;
        }
    };
}
