//! Operations on the members of an [`ExceptionGroup`]: Python's `except*`.

use super::{Error, ExceptionGroup};

impl ExceptionGroup {
    /// Divides the group in two: the errors for which `condition` holds, and the rest
    /// (`ExceptionGroup.split`). Both parts keep the nesting, the message and the context of the group; a
    /// part without members is `None`.
    ///
    /// As in Python, the condition is also called with each group, including the outermost one: a group
    /// for which it holds is not divided. This is what `except*` does:
    ///
    /// ```
    /// use asyncio::{Error, prelude::*};
    /// use std::io;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let outcome = asyncio::TaskGroup::new().with(async |group| {
    ///         drop(group.create_task(async { Err::<(), _>(io::Error::other("disk on fire").into()) }));
    ///         drop(group.create_task(async { Err::<(), _>(Error::msg("other")) }));
    ///         Ok(())
    ///     });
    ///     let Err(Error::Group(group)) = outcome.await else { panic!("it failed") };
    ///     let (io, rest) = group.split(|error| matches!(error, Error::Io(_)));
    ///     assert_eq!((io.unwrap().exceptions().len(), rest.unwrap().exceptions().len()), (1, 1));
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "except*")]
    pub fn split(
        &self,
        mut condition: impl FnMut(&Error) -> bool,
    ) -> (Option<ExceptionGroup>, Option<ExceptionGroup>) {
        let whole = Error::Group(self.clone());
        if condition(&whole) {
            return (Some(self.clone()), None);
        }
        // Groups may be nested deeper than the stack allows.
        let mut open = Vec::new();
        let mut division = Division::of(self);
        loop {
            match division.left.next() {
                Some(error) if condition(error) => division.matched.push(error.clone()),
                Some(Error::Group(group)) => {
                    open.push(std::mem::replace(&mut division, Division::of(group)));
                }
                Some(error) => division.rest.push(error.clone()),
                None => {
                    let Division { group, matched, rest, .. } = division;
                    let derive =
                        |members: Vec<Error>| (!members.is_empty()).then(|| group.derive(members));
                    let (matched, rest) = (derive(matched), derive(rest));
                    let Some(outer) = open.pop() else { return (matched, rest) };
                    division = outer;
                    division.matched.extend(matched.map(Error::Group));
                    division.rest.extend(rest.map(Error::Group));
                }
            }
        }
    }

    /// Returns the part of the group for which `condition` holds (`ExceptionGroup.subgroup`): the first
    /// half of [`split`](ExceptionGroup::split).
    ///
    /// ```
    /// use asyncio::{Error, ExceptionGroup};
    /// let group = ExceptionGroup::new("two", [Error::msg("a"), Error::value("b")]);
    /// let values = group.subgroup(|error| matches!(error, Error::Value(_))).unwrap();
    /// assert_eq!(values.exceptions()[0].to_string(), "b");
    /// ```
    pub fn subgroup(&self, condition: impl FnMut(&Error) -> bool) -> Option<ExceptionGroup> {
        self.split(condition).0
    }

    /// Creates a group of other members with the message, the notes and the context of this one
    /// (`ExceptionGroup.derive`).
    ///
    /// ```
    /// use asyncio::{Error, ExceptionGroup};
    /// let group = ExceptionGroup::new("jobs", [Error::msg("a")]);
    /// assert_eq!(group.derive([Error::msg("b")]).message(), "jobs");
    /// ```
    pub fn derive(&self, exceptions: impl Into<Vec<Error>>) -> ExceptionGroup {
        let mut derived = ExceptionGroup::new(self.cow().clone(), exceptions);
        derived.0.about_mut().clone_from(self.0.about());
        derived
    }
}

/// A group that is being divided.
struct Division<'a> {
    group: &'a ExceptionGroup,
    left: std::slice::Iter<'a, Error>,
    matched: Vec<Error>,
    rest: Vec<Error>,
}

impl<'a> Division<'a> {
    fn of(group: &'a ExceptionGroup) -> Division<'a> {
        let left = group.exceptions().iter();
        Division { group, left, matched: Vec::new(), rest: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(message: &'static str, members: impl Into<Vec<Error>>) -> Error {
        Error::Group(ExceptionGroup::new(message, members))
    }

    /// `top(a, inner(b))`
    fn shown(group: Option<ExceptionGroup>) -> String {
        fn member(error: &Error) -> String {
            match error {
                Error::Group(group) => {
                    let members: Vec<_> = group.exceptions().iter().map(member).collect();
                    format!("{}({})", group.message(), members.join(", "))
                }
                error => error.to_string(),
            }
        }
        group.map(|group| member(&Error::Group(group))).unwrap_or_default()
    }

    fn nested() -> ExceptionGroup {
        let inner = group("inner", [Error::value("b"), Error::msg("c")]);
        let alike = group("alike", [Error::value("d")]);
        ExceptionGroup::new("top", [Error::msg("a"), inner, alike, Error::value("e")])
    }

    #[test]
    fn both_halves_keep_the_nesting_and_the_order() {
        let (values, rest) = nested().split(|error| matches!(error, Error::Value(_)));
        assert_eq!(shown(values), "top(inner(b), alike(d), e)");
        assert_eq!(shown(rest), "top(a, inner(c))");
        assert_eq!(shown(nested().subgroup(|_| false)), "");
    }

    #[test]
    fn a_group_for_which_it_holds_is_not_divided() {
        let is =
            |name| move |error: &Error| matches!(error, Error::Group(g) if g.message() == name);
        let (matched, rest) = nested().split(is("inner"));
        assert_eq!(shown(matched), "top(inner(b, c))");
        assert_eq!(shown(rest), "top(a, alike(d), e)");
        let (matched, rest) = nested().split(is("top"));
        assert_eq!((shown(matched), rest.is_none()), (shown(Some(nested())), true));
    }

    #[test]
    fn a_part_keeps_the_context() {
        let error = Error::Group(nested()).with_context(Error::msg("before"));
        let Error::Group(whole) = error else { panic!("it is a group") };
        let (values, rest) = whole.split(|error| matches!(error, Error::Value(_)));
        for part in [values, rest] {
            let part = part.map(Error::Group).expect("neither is empty");
            assert_eq!(part.context().map(ToString::to_string).as_deref(), Some("before"));
        }
    }

    #[test]
    fn a_deep_group_needs_no_stack() {
        let mut error = Error::value("x");
        for _ in 0..100_000 {
            error = group("level", [error]);
        }
        let Error::Group(deep) = error else { panic!("it is a group") };
        let (matched, rest) = deep.split(|error| matches!(error, Error::Value(_)));
        assert!(matched.is_some() && rest.is_none());
    }
}
