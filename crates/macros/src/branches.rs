//! `join!`, `try_join!` and `select!`: several awaitables in one task.
//!
//! The facade's macros of these names call these, and put the path of the facade before their
//! input. The generated code calls `asyncio_task::branches`; this module only lays out the
//! branches.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{format_ident, quote, quote_spanned};
use syn::{
    Error, Expr, Ident, Pat, Result, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
    spanned::Spanned,
    visit_mut::{self, VisitMut},
};

/// Reads the `$crate` that the facade's macro passed.
fn facade(input: ParseStream<'_>) -> Result<TokenTree> {
    let facade = input.parse()?;
    input.parse::<Token![;]>()?;
    Ok(facade)
}

/// The pinned branches of a macro: their names, and the code that makes them.
struct Branches {
    names: Vec<Ident>,
    made: TokenStream,
}

/// Makes a branch of each awaitable, unless its condition is false.
fn branches<'a>(
    macros: &TokenStream,
    what: &str,
    awaitables: impl Iterator<Item = (&'a Expr, Option<&'a Expr>)>,
) -> Branches {
    let (mut names, mut made) = (Vec::new(), TokenStream::new());
    for (index, (awaitable, condition)) in awaitables.enumerate() {
        let name = format_ident!("__branch{index}", span = Span::mixed_site());
        let span = awaitable.span();
        let body = quote_spanned!(span=> ::core::future::IntoFuture::into_future(#awaitable));
        let body = match condition {
            None => quote!(::core::option::Option::Some(#body)),
            Some(condition) => quote! {
                if #condition { ::core::option::Option::Some(#body) } else { ::core::option::Option::None }
            },
        };
        made.extend(quote! {
            let #name = #body;
            let __ending = {
                use #macros::{
                    LeafBranch as _, LentBranch as _, OpaqueBranch as _, OurBranch as _,
                    ScopeBranch as _,
                };
                (&&&&&#macros::Probe::of(&#name)).ending()
            };
            let mut #name = ::core::pin::pin!(
                #macros::Branch::new(#name, __ending, #macros::WaitSite::here(&#what))
            );
        });
        names.push(name);
    }
    Branches { names, made }
}

/// Ends the branches that are left, and awaits their end.
fn end(macros: &TokenStream, names: &[Ident]) -> TokenStream {
    quote! {
        #macros::end([#(#names.as_mut() as ::core::pin::Pin<&mut dyn #macros::Losing>),*]).await
    }
}

pub(crate) fn join(input: TokenStream) -> TokenStream {
    expand(input, "join!", |macros, Branches { names, made }| {
        let end = end(macros, &names);
        quote! {
            #made
            let __panicked = #macros::poll_fn(|__cx| {
                let mut __pending = false;
                #(
                    __pending |= #names.as_mut().poll(__cx).is_pending();
                    if #names.has_panicked() {
                        return ::core::task::Poll::Ready(true);
                    }
                )*
                if __pending { ::core::task::Poll::Pending } else { ::core::task::Poll::Ready(false) }
            }).await;
            if __panicked {
                #end;
                #(#names.as_mut().resume_panic();)*
            }
            (#(#macros::output_of(#names.as_mut().take()),)*)
        }
    })
}

pub(crate) fn try_join(input: TokenStream) -> TokenStream {
    expand(input, "try_join!", |macros, Branches { names, made }| {
        let end = end(macros, &names);
        let values: Vec<Ident> = (0..names.len()).map(|n| format_ident!("__value{n}")).collect();
        quote! {
            #made
            let __failed = #macros::poll_fn(|__cx| {
                let mut __pending = false;
                #(
                    __pending |= #names.as_mut().poll(__cx).is_pending();
                    if #names.has_failed() {
                        return ::core::task::Poll::Ready(true);
                    }
                )*
                if __pending { ::core::task::Poll::Pending } else { ::core::task::Poll::Ready(false) }
            }).await;
            if __failed {
                #end;
            }
            '__outputs: {
                #(
                    let #values = match #names.as_mut().take() {
                        ::core::option::Option::Some(__output) => {
                            match #macros::output_of(::core::option::Option::Some(__output)) {
                                ::core::result::Result::Ok(__value) => ::core::option::Option::Some(__value),
                                ::core::result::Result::Err(__error) => {
                                    break '__outputs ::core::result::Result::Err(__error);
                                }
                            }
                        }
                        ::core::option::Option::None => ::core::option::Option::None,
                    };
                )*
                ::core::result::Result::Ok((#(#macros::output_of(#values.map(::core::result::Result::Ok)),)*))
            }
        }
    })
}

/// The code of a macro that takes a list of awaitables.
fn expand(
    input: TokenStream,
    what: &str,
    code: impl FnOnce(&TokenStream, Branches) -> TokenStream,
) -> TokenStream {
    let parse = |input: ParseStream<'_>| {
        let facade = facade(input)?;
        let awaitables = Punctuated::<Expr, Token![,]>::parse_terminated(input)?;
        Ok((facade, awaitables))
    };
    let (facade, awaitables) = match parse.parse2(input) {
        Ok(parsed) => parsed,
        Err(error) => return error.into_compile_error(),
    };
    let macros = quote!(#facade::__macros);
    let awaitables = awaitables.iter().map(|awaitable| (awaitable, None));
    let code = code(&macros, branches(&macros, what, awaitables));
    quote!({ #code })
}

/// `pattern = future, if condition => handler`
struct Arm {
    pattern: Pat,
    awaitable: Expr,
    condition: Option<Expr>,
    handler: Expr,
}

struct Select {
    facade: TokenTree,
    /// The branch that is polled first.
    start: Option<Expr>,
    arms: Vec<Arm>,
    otherwise: Option<Expr>,
}

impl Parse for Select {
    fn parse(input: ParseStream<'_>) -> Result<Select> {
        let facade = facade(input)?;
        let start = option(input)?;
        let (mut arms, mut otherwise) = (Vec::new(), None);
        while !input.is_empty() {
            if input.peek(Token![else]) {
                input.parse::<Token![else]>()?;
                input.parse::<Token![=>]>()?;
                otherwise = Some(handler(input)?);
                if !input.is_empty() {
                    return Err(input.error("`else` is the last branch of `select!`"));
                }
            } else {
                arms.push(input.parse()?);
            }
        }
        if arms.is_empty() {
            return Err(
                input.error("`select!` needs at least one branch: `pattern = future => handler`")
            );
        }
        Ok(Select { facade, start, arms, otherwise })
    }
}

/// Reads `biased;`, which has no effect, or `start = number;`.
fn option(input: ParseStream<'_>) -> Result<Option<Expr>> {
    let ahead = input.fork();
    let Ok(name) = ahead.call(Ident::parse_any) else { return Ok(None) };
    if name == "biased" && ahead.peek(Token![;]) {
        input.call(Ident::parse_any)?;
        input.parse::<Token![;]>()?;
        return Ok(None);
    }
    if name != "start" || !ahead.peek(Token![=]) || ahead.peek(Token![=>]) {
        return Ok(None);
    }
    ahead.parse::<Token![=]>()?;
    // It may be a pattern. Then a `=>` or a condition follows.
    if ahead.parse::<Expr>().is_err() || !ahead.peek(Token![;]) {
        return Ok(None);
    }
    input.call(Ident::parse_any)?;
    input.parse::<Token![=]>()?;
    let start = input.parse()?;
    input.parse::<Token![;]>()?;
    Ok(Some(start))
}

/// Reads a handler, and the comma after it, which a block does not need.
fn handler(input: ParseStream<'_>) -> Result<Expr> {
    let handler = Expr::parse_with_earlier_boundary_rule(input)?;
    let is_block = matches!(handler, Expr::Block(_));
    if !input.is_empty() && (!is_block || input.peek(Token![,])) {
        input.parse::<Token![,]>()?;
    }
    Ok(handler)
}

impl Parse for Arm {
    fn parse(input: ParseStream<'_>) -> Result<Arm> {
        let pattern = Pat::parse_multi_with_leading_vert(input)?;
        if !input.peek(Token![=]) || input.peek(Token![=>]) {
            let message = "a branch of `select!` is `pattern = future => handler`: `=` is missing";
            return Err(input.error(message));
        }
        input.parse::<Token![=]>()?;
        let awaitable = input.parse()?;
        let mut condition = None;
        if input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
            if !input.peek(Token![if]) {
                let message =
                    "a branch of `select!` is `pattern = future => handler`: `=>` is missing";
                return Err(input.error(message));
            }
            input.parse::<Token![if]>()?;
            condition = Some(input.parse()?);
        }
        input.parse::<Token![=>]>()?;
        Ok(Arm { pattern, awaitable, condition, handler: handler(input)? })
    }
}

/// Turns a pattern into one that only tests: it moves nothing.
struct Looking;

impl VisitMut for Looking {
    fn visit_pat_ident_mut(&mut self, pattern: &mut syn::PatIdent) {
        pattern.by_ref = None;
        pattern.mutability = None;
        visit_mut::visit_pat_ident_mut(self, pattern);
    }
}

fn is_irrefutable(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) => true,
        // A name in lower case is not a constant.
        Pat::Ident(name) => {
            name.subpat.is_none()
                && name.ident.to_string().starts_with(|c: char| c == '_' || c.is_lowercase())
        }
        Pat::Tuple(tuple) => tuple.elems.iter().all(is_irrefutable),
        _ => false,
    }
}

pub(crate) fn select(input: TokenStream) -> TokenStream {
    match syn::parse2::<Select>(input) {
        Ok(select) => select.expand().unwrap_or_else(Error::into_compile_error),
        Err(error) => error.into_compile_error(),
    }
}

impl Select {
    fn expand(&self) -> Result<TokenStream> {
        let facade = &self.facade;
        let macros = quote!(#facade::__macros);
        let awaitables = self.arms.iter().map(|arm| (&arm.awaitable, arm.condition.as_ref()));
        let Branches { names, made } = branches(&macros, "select!", awaitables);
        let end = end(&macros, &names);
        let count = self.arms.len();
        let variants: Vec<Ident> = (0..count).map(|n| format_ident!("Branch{n}")).collect();
        let numbers = 0..count;
        let looks = self.arms.iter().zip(&names).zip(&variants).map(|((arm, name), variant)| {
            let won = quote!(return ::core::task::Poll::Ready(__Won::#variant(__output)););
            if is_irrefutable(&arm.pattern) {
                return won;
            }
            let mut pattern = arm.pattern.clone();
            Looking.visit_pat_mut(&mut pattern);
            // A branch whose output does not match is disabled.
            quote! {
                #[allow(unused_variables, unreachable_patterns)]
                if let #pattern = &__output { #won }
                let _ = &#name;
            }
        });
        let polls = quote! {
            #(
                #numbers if #names.is_open() => {
                    if #names.as_mut().poll(__cx).is_ready() {
                        match #names.as_mut().take() {
                            ::core::option::Option::Some(::core::result::Result::Ok(__output)) => { #looks }
                            ::core::option::Option::Some(::core::result::Result::Err(__panic)) => {
                                return ::core::task::Poll::Ready(__Won::Panicked(__panic));
                            }
                            ::core::option::Option::None => {}
                        }
                    } else {
                        __waits = true;
                    }
                }
            )*
        };
        let start = match &self.start {
            None => quote!(0_usize),
            Some(start) => quote_spanned! {start.span()=> {
                let start: usize = #start;
                start
            }},
        };
        let arms =
            self.arms.iter().zip(&variants).map(|(Arm { pattern, handler, .. }, variant)| {
                quote! {
                    #[allow(unreachable_patterns)]
                    __Won::#variant(#pattern) => #handler,
                }
            });
        let otherwise = match &self.otherwise {
            Some(otherwise) => quote!(#otherwise),
            None => quote!(#macros::all_disabled()),
        };
        Ok(quote! {{
            #[allow(clippy::large_enum_variant)]
            enum __Won<#(#variants),*> {
                #(#variants(#variants),)*
                Panicked(#macros::Payload),
                Disabled,
            }
            let __won = {
                let __start = #start;
                #made
                let __won = #macros::poll_fn(|__cx| {
                    let mut __waits = false;
                    for __turn in 0..#count {
                        match (__start % #count + __turn) % #count {
                            #polls
                            _ => {}
                        }
                    }
                    match __waits {
                        true => ::core::task::Poll::Pending,
                        false => ::core::task::Poll::Ready(__Won::Disabled),
                    }
                }).await;
                #end;
                __won
            };
            match __won {
                #(#arms)*
                __Won::Panicked(__panic) => #macros::resume_unwind(__panic),
                #[allow(unreachable_patterns)]
                _ => #otherwise,
            }
        }})
    }
}
