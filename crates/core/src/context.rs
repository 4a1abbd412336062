//! Context variables: values that follow a task and its callbacks (`contextvars`).
//!
//! A [`Context`] holds the values of all variables. Each task, callback and `to_thread` job runs in
//! a copy of the context in which it was created. Copying takes constant time, whatever the number
//! of variables, because the values are shared until one of them is set.

use crate::{Error, Result, sync::Mutex};
use std::{
    any::Any,
    cell::Cell,
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

type Value = Arc<dyn Any + Send + Sync>;

/// An immutable set of values, sorted by variable. Cloning shares it.
#[derive(Clone, Default)]
pub struct Values(Option<Arc<Vec<(u64, Value)>>>);

impl Values {
    /// Whether both are the same set: neither was changed since one was cloned from the other.
    #[inline]
    pub(crate) fn is(&self, other: &Values) -> bool {
        match (&self.0, &other.0) {
            (Some(values), Some(others)) => Arc::ptr_eq(values, others),
            (None, None) => true,
            _ => false,
        }
    }

    fn get(&self, var: u64) -> Option<&Value> {
        let values = self.0.as_deref()?;
        values.binary_search_by_key(&var, |(id, _)| *id).ok().map(|n| &values[n].1)
    }

    fn set(&mut self, var: u64, value: Option<Value>) {
        let values = Arc::make_mut(self.0.get_or_insert_with(Default::default));
        match (values.binary_search_by_key(&var, |(id, _)| *id), value) {
            (Ok(n), Some(value)) => values[n].1 = value,
            (Ok(n), None) => drop(values.remove(n)),
            (Err(n), Some(value)) => values.insert(n, (var, value)),
            (Err(_), None) => {}
        }
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} context variables", self.0.as_ref().map_or(0, |v| v.len()))
    }
}

thread_local! {
    static CURRENT: Cell<Values> = const { Cell::new(Values(None)) };
}

/// Returns the values that are current in this thread. There are none while the thread ends and its
/// thread-locals are gone: a loop may be closed even then.
#[inline]
pub fn current_values() -> Values {
    let copy = |current: &Cell<Values>| {
        let values = current.take();
        current.set(values.clone());
        values
    };
    CURRENT.try_with(copy).unwrap_or_default()
}

/// Makes `values` the current ones, and returns the previous ones.
#[inline]
pub fn swap_values(values: Values) -> Values {
    CURRENT.try_with(|current| current.replace(values)).unwrap_or_default()
}

/// Runs `f` in a temporary copy of `values`.
pub fn with_values<R>(values: Values, f: impl FnOnce() -> R) -> R {
    let _entered = ValuesGuard::new(values, |_| {});
    f()
}

/// Puts the previous values back, even if the code inside panics.
struct ValuesGuard<F: FnMut(Values)> {
    previous: Option<Values>,
    keep: F,
}

impl<F: FnMut(Values)> ValuesGuard<F> {
    fn new(values: Values, keep: F) -> ValuesGuard<F> {
        ValuesGuard { previous: Some(swap_values(values)), keep }
    }
}

impl<F: FnMut(Values)> Drop for ValuesGuard<F> {
    fn drop(&mut self) {
        let ours = swap_values(self.previous.take().unwrap_or_default());
        (self.keep)(ours);
    }
}

/// A set of context variables that several tasks or runs may share (`contextvars.Context`).
///
/// Cloning returns another handle to the same context; [`copy`](Context::copy) returns a separate
/// context.
#[derive(Clone, Default)]
pub struct Context(Arc<Mutex<Slot>>);

#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Idle(Values),
    /// Some code runs in it now; its values are the current ones of that thread.
    Entered(Thread),
}

/// A thread, by an address of its own.
#[derive(Clone, Copy, PartialEq)]
struct Thread(usize);

impl Thread {
    fn this() -> Thread {
        Thread(CURRENT.try_with(|current| std::ptr::from_ref(current).addr()).unwrap_or_default())
    }
}

impl Context {
    /// Creates an empty context.
    pub fn new() -> Context {
        Context::default()
    }

    /// Creates a context with a copy of the current values (`contextvars.copy_context()`). O(1).
    #[doc(alias = "copy_context")]
    pub fn current() -> Context {
        Context::of(current_values())
    }

    /// Creates a context that starts with `values`.
    pub fn of(values: Values) -> Context {
        Context(Arc::new(Mutex::new(Slot::Idle(values))))
    }

    /// Returns the context in which this thread is running, as an object.
    pub(crate) fn entered() -> Context {
        Context(Arc::new(Mutex::new(Slot::Entered(Thread::this()))))
    }

    /// Creates a context with a copy of the values. O(1). If code in another thread is running in
    /// this context, the values are those that the context had on entry.
    pub fn copy(&self) -> Context {
        Context::of(self.values())
    }

    /// Returns the current values.
    pub fn values(&self) -> Values {
        match &*self.0.lock() {
            Slot::Empty => Values::default(),
            Slot::Idle(values) => values.clone(),
            Slot::Entered(_) => current_values(),
        }
    }

    /// Returns whether this thread runs in it.
    pub(crate) fn is_current(&self) -> bool {
        matches!(&*self.0.lock(), Slot::Entered(thread) if *thread == Thread::this())
    }

    /// Takes the values out to run in them; [`leave`](Context::leave) puts them back.
    ///
    /// # Errors
    /// `Runtime` if some code already runs in it.
    pub fn enter(&self) -> Result<Values> {
        let mut slot = self.0.lock();
        if let Slot::Entered(_) = *slot {
            return Err(Error::runtime("Context.run: the context is already entered"));
        }
        match std::mem::replace(&mut *slot, Slot::Entered(Thread::this())) {
            Slot::Idle(values) => Ok(values),
            Slot::Empty | Slot::Entered(_) => Ok(Values::default()),
        }
    }

    /// Ends what [`enter`](Context::enter) began.
    pub fn leave(&self, values: Values) {
        // Dropped when the lock is free: a value may be anything.
        let before = std::mem::replace(&mut *self.0.lock(), Slot::Idle(values));
        drop(before);
    }

    /// Runs `f` in this context: the values that it sets stay in this context, and do not affect
    /// the caller's.
    ///
    /// # Errors
    /// `Runtime` if some code already runs in it.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> Result<R> {
        let values = self.enter()?;
        let _entered = ValuesGuard::new(values, |ours| self.leave(ours));
        Ok(f())
    }

    /// Returns the value of `var` in this context, or its default.
    pub fn get<T: Clone + Send + Sync + 'static>(&self, var: &ContextVar<T>) -> Option<T> {
        var.get_in(&self.values())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.values()).finish()
    }
}

/// A variable with one value per context (`contextvars.ContextVar`), usually a `static`.
///
/// ```
/// use asyncio::{Context, ContextVar};
/// static USER: ContextVar<&str> = ContextVar::new("user");
/// let token = USER.set("ann");
/// let seen = Context::current().run(|| { USER.set("bob"); USER.get() })?;
/// assert_eq!((seen, USER.get()), (Some("bob"), Some("ann")));
/// USER.reset(token)?;
/// assert_eq!(USER.get(), None);
/// # Ok::<(), asyncio::Error>(())
/// ```
pub struct ContextVar<T> {
    name: &'static str,
    /// Assigned at first use, because a `const fn` cannot assign one.
    id: AtomicU64,
    default: Option<T>,
}

impl<T> ContextVar<T> {
    /// Creates a variable without a default.
    pub const fn new(name: &'static str) -> ContextVar<T> {
        ContextVar { name, id: AtomicU64::new(0), default: None }
    }

    /// Creates a variable whose value is `default` where none was set.
    pub const fn with_default(name: &'static str, default: T) -> ContextVar<T> {
        ContextVar { name, id: AtomicU64::new(0), default: Some(default) }
    }

    /// Returns the name, for messages only.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn id(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = self.id.load(Ordering::Relaxed);
        if id != 0 {
            return id;
        }
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
        match self.id.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            Err(drawn) => drawn,
        }
    }
}

impl<T: Clone + Send + Sync + 'static> ContextVar<T> {
    /// Returns the value in the current context, or else the default.
    pub fn get(&self) -> Option<T> {
        self.get_in(&current_values())
    }

    fn get_in(&self, values: &Values) -> Option<T> {
        let set = values.get(self.id()).and_then(|value| value.downcast_ref::<T>());
        set.or(self.default.as_ref()).cloned()
    }

    /// Sets the value in the current context. The token can undo this.
    pub fn set(&self, value: T) -> Token<T> {
        let mut values = current_values();
        let old = values.get(self.id()).cloned();
        values.set(self.id(), Some(Arc::new(value)));
        drop(swap_values(values));
        Token { var: self.id(), old, kind: PhantomData }
    }

    /// Restores the value from before the `set` that returned `token`. Python refuses a token of another
    /// context; here, the value is set in the current one.
    ///
    /// # Errors
    /// `Value` if the token belongs to another variable.
    pub fn reset(&self, token: Token<T>) -> Result<()> {
        if token.var != self.id() {
            return Err(Error::value("ContextVar.reset: the token belongs to another variable"));
        }
        let mut values = current_values();
        values.set(self.id(), token.old);
        drop(swap_values(values));
        Ok(())
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContextVar({:?})", self.name)
    }
}

/// The token that [`ContextVar::set`] returns; each can be used once.
pub struct Token<T> {
    var: u64,
    old: Option<Value>,
    kind: PhantomData<fn(T)>,
}

impl<T> fmt::Debug for Token<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static N: ContextVar<i32> = ContextVar::with_default("n", 1);

    #[test]
    fn a_copy_does_not_see_later_changes() {
        let before = Context::current();
        let token = N.set(2);
        let after = before.copy();
        assert_eq!((N.get(), before.get(&N), after.get(&N)), (Some(2), Some(1), Some(1)));
        N.reset(token).unwrap();
        assert_eq!(N.get(), Some(1));
    }

    #[test]
    fn what_a_run_sets_stays_in_its_context() {
        let context = Context::new();
        context.run(|| N.set(5)).unwrap();
        assert_eq!((N.get(), context.get(&N)), (Some(1), Some(5)));
        let twice = context.run(|| context.run(|| ()).unwrap_err()).unwrap();
        assert!(matches!(twice, Error::Runtime(_)));
        let panicked = std::panic::catch_unwind(|| context.run(|| panic!("inside")).unwrap());
        assert!(panicked.is_err());
        assert_eq!((N.get(), context.get(&N)), (Some(1), Some(5)));
    }

    #[test]
    fn a_token_of_another_variable_is_refused() {
        static OTHER: ContextVar<i32> = ContextVar::new("other");
        assert_eq!(OTHER.get(), None);
        assert!(matches!(N.reset(OTHER.set(1)), Err(Error::Value(_))));
    }
}
