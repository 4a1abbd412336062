//! [`cast`]: converts a value to its actual type, even if that type borrows.

use std::{
    any::TypeId,
    marker::PhantomData,
    mem::{ManuallyDrop, transmute, transmute_copy},
};

/// Converts `value` to a `B`, if that is its type. Compiles to a move.
///
/// # Safety
/// `A` and `B` must not differ only in their lifetimes.
pub(crate) unsafe fn cast<A, B>(value: A) -> Result<B, A> {
    if id::<A>() != id::<B>() {
        return Err(value);
    }
    let value = ManuallyDrop::new(value);
    // SAFETY: the types can differ only in lifetimes, and the caller promised that they do not; and
    // the original is forgotten.
    Ok(unsafe { transmute_copy::<ManuallyDrop<A>, B>(&value) })
}

/// Distinguishes types that differ in more than their lifetimes. `Any` only works for types without
/// lifetimes.
fn id<T>() -> TypeId {
    trait Identified {
        fn id(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T> Identified for PhantomData<T> {
        fn id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let of: &dyn Identified = &PhantomData::<T>;
    // SAFETY: lifetimes do not exist in compiled code, and no value of `T` is accessed through
    // this.
    let of = unsafe { transmute::<&dyn Identified, &(dyn Identified + 'static)>(of) };
    of.id()
}

#[cfg(test)]
mod tests {
    use super::{cast, id};
    use std::{cell::Cell, rc::Rc};

    /// Something that borrows.
    struct Borrowed<'a>(&'a Cell<u32>);

    impl Drop for Borrowed<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn a_type_that_borrows_is_itself_and_no_other() {
        let of_borrowed = |_: &Borrowed<'_>| {
            assert_eq!(id::<Borrowed<'_>>(), id::<Borrowed<'static>>());
            assert_ne!(id::<Borrowed<'_>>(), id::<&Cell<u32>>());
        };
        of_borrowed(&Borrowed(&Cell::new(0)));
        assert_ne!(id::<u32>(), id::<i32>());
    }

    #[test]
    fn a_value_is_moved_and_dropped_once() {
        let drops = Cell::new(0);
        // SAFETY: the types differ in more than lifetimes.
        let kept = unsafe { cast::<Borrowed<'_>, Rc<u32>>(Borrowed(&drops)) };
        assert!(kept.is_err_and(|kept| kept.0.get() == 0));
        assert_eq!(drops.get(), 1);
        fn same<'a>(value: Borrowed<'a>) -> Option<Borrowed<'a>> {
            // SAFETY: the types are the same, lifetimes included.
            unsafe { cast::<Borrowed<'a>, Borrowed<'a>>(value) }.ok()
        }
        assert!(same(Borrowed(&drops)).is_some_and(|moved| moved.0.get() == 1));
        assert_eq!(drops.get(), 2);
    }
}
