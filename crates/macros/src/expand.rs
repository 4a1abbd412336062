//! From `async fn` to `fn`: the function is left unchanged, inside the one that runs it.

use crate::options::Options;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Error, ItemFn, Result, spanned::Spanned};

pub(crate) fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    or_error(item, |item| {
        let (options, function) = read("main", options, item)?;
        options.refuse_virtual_time()?;
        if function.sig.ident != "main" {
            let message =
                "`#[asyncio::main]` goes on `async fn main`; call `asyncio::run` elsewhere";
            return Err(Error::new_spanned(&function.sig.ident, message));
        }
        let (krate, runner) = (options.krate(), options.runner());
        let call = call(&function);
        let (attributes, visibility, inner) = split(function);
        Ok(quote! {
            #(#attributes)*
            #visibility fn main() -> ::std::process::ExitCode {
                #inner
                #krate::__macros::main(#runner, #call)
            }
        })
    })
}

pub(crate) fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    if options.is_empty() && is_plain_function(&item) {
        // After `use asyncio::test`, the attribute is on every test.
        return quote!(#[::core::prelude::v1::test] #item);
    }
    or_error(item, |item| {
        let (options, function) = read("test", options, item)?;
        if let Some(other) = function.attrs.iter().find(|other| is_test(other)) {
            let message = "`#[asyncio::test]` is enough: this would create a second test";
            return Err(Error::new_spanned(other, message));
        }
        let (krate, runner) = (options.krate(), options.runner());
        let (name, output) = (function.sig.ident.clone(), function.sig.output.clone());
        let call = call(&function);
        let (attributes, visibility, inner) = split(function);
        Ok(quote! {
            #[::core::prelude::v1::test]
            #(#attributes)*
            #visibility fn #name() #output {
                #inner
                #krate::__macros::test(#runner, #call)
            }
        })
    })
}

fn is_plain_function(item: &TokenStream) -> bool {
    syn::parse2::<ItemFn>(item.clone()).is_ok_and(|function| function.sig.asyncness.is_none())
}

/// Expands the item. If the attribute is misused, returns the error together with the item, so that
/// the compiler does not also report the item as missing. It would also report an `async fn main`, so that
/// is put into another `main`.
fn or_error(
    item: TokenStream,
    expand: impl FnOnce(TokenStream) -> Result<TokenStream>,
) -> TokenStream {
    expand(item.clone()).unwrap_or_else(|error| {
        let error = error.into_compile_error();
        let is_async_main =
            |function: ItemFn| function.sig.ident == "main" && function.sig.asyncness.is_some();
        match syn::parse2(item.clone()).is_ok_and(is_async_main) {
            true => quote!(#[allow(dead_code)] fn main() { #item } #error),
            false => quote!(#item #error),
        }
    })
}

/// Reads the options and the function, and refuses functions that cannot be run.
fn read(attribute: &str, options: TokenStream, item: TokenStream) -> Result<(Options, ItemFn)> {
    let options = syn::parse2(options)?;
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        let message = format!("`#[asyncio::{attribute}]` goes on an `async fn`");
        Error::new(error.span(), message)
    })?;
    let signature = &function.sig;
    let refuse = |at: &dyn ToTokens, what: &str| {
        let message = format!("the function under `#[asyncio::{attribute}]` {what}");
        Err(Error::new_spanned(at.to_token_stream(), message))
    };
    if signature.asyncness.is_none() {
        return refuse(&signature.fn_token, "must be `async`");
    }
    if !signature.inputs.is_empty() {
        return refuse(&signature.inputs, "takes no arguments");
    }
    if !signature.generics.params.is_empty() {
        return refuse(&signature.generics, "cannot be generic");
    }
    if let Some(clause) = &signature.generics.where_clause {
        return refuse(clause, "cannot be generic");
    }
    if let Some(unsafety) = &signature.unsafety {
        return refuse(unsafety, "cannot be `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi, "cannot be `extern`");
    }
    Ok((options, function))
}

/// The attributes and visibility of the outer function, and the inner one without them.
fn split(mut function: ItemFn) -> (Vec<Attribute>, syn::Visibility, ItemFn) {
    let attributes = std::mem::take(&mut function.attrs);
    let visibility = std::mem::replace(&mut function.vis, syn::Visibility::Inherited);
    (attributes, visibility, function)
}

/// The call of the function. An error about its result then points to its return type.
fn call(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    quote_spanned!(function.sig.output.span()=> #name())
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "test")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tokens: TokenStream) -> String {
        tokens.to_string()
    }

    #[test]
    fn main_runs_the_function_that_was_written() {
        let item = quote! { #[allow(unused)] async fn main() -> asyncio::Result<()> { Ok(()) } };
        let wanted = quote! {
            #[allow(unused)]
            fn main() -> ::std::process::ExitCode {
                async fn main() -> asyncio::Result<()> { Ok(()) }
                ::asyncio::__macros::main(::asyncio::Runner::new().debug(true), main())
            }
        };
        assert_eq!(shown(main(quote!(debug = true), item)), shown(wanted));
    }

    #[test]
    fn a_test_keeps_its_attributes_and_its_return_type() {
        let item = quote! { #[should_panic] async fn falls() -> Result<(), String> { Ok(()) } };
        let wanted = quote! {
            #[::core::prelude::v1::test]
            #[should_panic]
            fn falls() -> Result<(), String> {
                async fn falls() -> Result<(), String> { Ok(()) }
                crate::a::__macros::test(crate::a::Runner::new().virtual_time(true), falls())
            }
        };
        assert_eq!(shown(test(quote!(virtual_time, crate = crate::a), item)), shown(wanted));
    }

    #[test]
    fn a_test_that_is_not_async_is_one_of_std() {
        let item = quote! { #[should_panic] fn falls() { panic!() } };
        let wanted =
            quote! { #[::core::prelude::v1::test] #[should_panic] fn falls() { panic!() } };
        assert_eq!(shown(test(quote!(), item)), shown(wanted));
    }

    /// The message for a misuse, after checking that the item is kept.
    fn message(expanded: TokenStream, item: &TokenStream) -> String {
        let (text, item) = (shown(expanded), shown(item.clone()));
        let inside = shown(quote!(#[allow(dead_code)] fn main)) + " () { ";
        let text = text.strip_prefix(&inside).unwrap_or(&text);
        let rest = text.strip_prefix(&item).expect("the item comes first");
        let (_, message) = rest.split_once("{ \"").expect("compile_error! has a message");
        message.trim_end_matches("\" }").to_owned()
    }

    #[test]
    fn misuse_is_named() {
        for (item, wanted) in [
            ("async fn main(n: u8) {}", "takes no arguments"),
            ("async fn main<T>() {}", "cannot be generic"),
            ("async fn main() where u8: Copy {}", "cannot be generic"),
            ("async unsafe fn main() {}", "cannot be `unsafe`"),
            ("async extern \"C\" fn main() {}", "cannot be `extern`"),
        ] {
            let item: TokenStream = item.parse().unwrap();
            let of_main = format!("the function under `#[asyncio::main]` {wanted}");
            assert_eq!(message(main(quote!(), item.clone()), &item), of_main);
            let of_test = format!("the function under `#[asyncio::test]` {wanted}");
            assert_eq!(message(test(quote!(), item.clone()), &item), of_test);
        }
        for (options, item, wanted) in [
            ("", "struct Main;", "`#[asyncio::main]` goes on an `async fn`"),
            ("", "async fn run() {}", "call `asyncio::run` elsewhere"),
            ("virtual_time", "async fn main() {}", "a program runs in real time"),
        ] {
            let (options, item) = (options.parse().unwrap(), item.parse().unwrap());
            let message = message(main(options, TokenStream::clone(&item)), &item);
            assert!(message.contains(wanted), "{message}");
        }
        let item: TokenStream = "fn main() {}".parse().unwrap();
        let must_be_async = "the function under `#[asyncio::main]` must be `async`";
        assert_eq!(message(main(quote!(), item.clone()), &item), must_be_async);
        let must_be_async = must_be_async.replace("main", "test");
        assert_eq!(message(test(quote!(virtual_time), item.clone()), &item), must_be_async);
        let item: TokenStream = "#[test] async fn twice() {}".parse().unwrap();
        assert!(message(test(quote!(), item.clone()), &item).contains("a second test"));
    }
}
