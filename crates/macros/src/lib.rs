//! The attributes `#[asyncio::main]` and `#[asyncio::test]`, and the code behind `join!`, `try_join!`
//! and `select!`.
//!
//! The facade crate `asyncio` re-exports them, and they call its functions. There is no reason to
//! depend on this crate directly.

#![forbid(unsafe_code)]

mod branches;
mod expand;
mod options;

use proc_macro::TokenStream;

/// Runs `async fn main` with `asyncio::run`.
///
/// It may return `()`, an `ExitCode`, or a `Result` of one of these with any error that is `Debug`, such as
/// `anyhow::Result<()>`.
/// As with Rust's own `main`, an error is printed and the process exits with 1. A program that
/// Ctrl-C has ended exits with 130: the first Ctrl-C cancels `main`, which can still clean up.
///
/// # Options
/// - `debug = true` switches the loop's debug mode on, `debug = false` off; without it the
///   environment decides (`PYTHONASYNCIODEBUG`). A bare `debug` is `debug = true`.
/// - `handle_sigterm = true` lets `SIGTERM` end the program as Ctrl-C does, with the exit status 143.
/// - `tokio` runs the program in the context of a tokio runtime, for libraries that need one. It needs the
///   crate `asyncio-tokio` as a dependency.
/// - `crate = path` sets the path of the facade, if it is not `::asyncio`.
///
/// ```
/// use std::time::Duration;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     asyncio::sleep(Duration::from_millis(1)).await?;
///     println!("Hello World");
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::main(options.into(), item.into()).into()
}

/// Turns an `async fn` into a test, which runs in its own loop.
///
/// On a function that is not async, it does what std's `#[test]` does, so that `use asyncio::test` works for
/// all tests of a module. If a module has only `use asyncio::*`, a plain `#[test]` in it is ambiguous for the
/// compiler (E0659): add `use asyncio::test`.
///
/// The function may return what a test may return: `()`, or a `Result` whose error is `Debug`. Other
/// attributes, such as `#[should_panic]` and `#[cfg]`, keep their effect. A panic in the test itself
/// fails the test; a panic in a task that is not awaited does not.
///
/// # Options
/// - `virtual_time = true` runs the test under the virtual clock: it jumps to the next timer when
///   nothing is ready, so that an hour of `sleep` takes no time. If nothing can wake the loop again,
///   the test fails with a list of what each task waits for. A bare `virtual_time` is the same.
/// - `debug`, `handle_sigterm`, `tokio` and `crate` are as for [`main`](macro@main).
///
/// ```
/// # use std::time::Duration;
/// #[asyncio::test(virtual_time = true)]
/// async fn an_hour_passes() -> asyncio::Result<()> {
///     let before = asyncio::get_running_loop()?.time();
///     asyncio::sleep(Duration::from_secs(3600)).await?;
///     assert_eq!(asyncio::get_running_loop()?.time() - before, Duration::from_secs(3600));
///     Ok(())
/// }
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::test(options.into(), item.into()).into()
}

/// Expands the facade's `join!`.
#[doc(hidden)]
#[proc_macro]
pub fn join(input: TokenStream) -> TokenStream {
    branches::join(input.into()).into()
}

/// Expands the facade's `try_join!`.
#[doc(hidden)]
#[proc_macro]
pub fn try_join(input: TokenStream) -> TokenStream {
    branches::try_join(input.into()).into()
}

/// Expands the facade's `select!`.
#[doc(hidden)]
#[proc_macro]
pub fn select(input: TokenStream) -> TokenStream {
    branches::select(input.into()).into()
}
