//! The options in the parentheses of the attributes.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{
    Error, Ident, LitBool, Path, Result, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
    parse_quote,
};

/// The options of either attribute.
#[derive(Default)]
pub(crate) struct Options {
    debug: Option<LitBool>,
    handle_sigterm: Option<LitBool>,
    virtual_time: Option<(Ident, LitBool)>,
    tokio: Option<LitBool>,
    krate: Option<Path>,
}

impl Options {
    /// Builds the runner that the options describe.
    pub(crate) fn runner(&self) -> TokenStream {
        let krate = self.krate();
        let debug = self.debug.iter().map(|on| quote!(.debug(#on)));
        let virtual_time = self.virtual_time.iter().map(|(_, on)| quote!(.virtual_time(#on)));
        let sigterm = self.handle_sigterm.iter().map(|on| quote!(.handle_sigterm(#on)));
        let runner = quote!(#krate::Runner::new() #(#debug)* #(#virtual_time)* #(#sigterm)*);
        match &self.tokio {
            Some(on) => quote!(::asyncio_tokio::RunnerExt::tokio(#runner, #on)),
            None => runner,
        }
    }

    /// The path of the facade.
    pub(crate) fn krate(&self) -> Path {
        self.krate.clone().unwrap_or_else(|| parse_quote!(::asyncio))
    }

    /// Refuses an option that only `test` has.
    pub(crate) fn refuse_virtual_time(&self) -> Result<()> {
        match &self.virtual_time {
            Some((name, _)) => Err(Error::new(
                name.span(),
                "`virtual_time` is an option of `#[asyncio::test]`; a program runs in real time",
            )),
            None => Ok(()),
        }
    }
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Options> {
        let mut options = Options::default();
        while !input.is_empty() {
            let name = input.call(Ident::parse_any)?;
            let repeated = match name.to_string().as_str() {
                "debug" => options.debug.replace(flag(input, &name)?).is_some(),
                "virtual_time" => {
                    options.virtual_time.replace((name.clone(), flag(input, &name)?)).is_some()
                }
                "handle_sigterm" => options.handle_sigterm.replace(flag(input, &name)?).is_some(),
                "tokio" => options.tokio.replace(flag(input, &name)?).is_some(),
                "crate" => {
                    input.parse::<Token![=]>()?;
                    options.krate.replace(input.call(Path::parse_mod_style)?).is_some()
                }
                other => {
                    let message = format!(
                        "there is no option `{other}`: expected `debug`, `handle_sigterm`, `virtual_time`, \
                         `tokio` or `crate`"
                    );
                    return Err(Error::new(name.span(), message));
                }
            };
            if repeated {
                return Err(Error::new(name.span(), format!("`{name}` is given twice")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

/// Reads `= true`, `= false`, or nothing, which means true.
fn flag(input: ParseStream<'_>, name: &Ident) -> Result<LitBool> {
    if !input.peek(Token![=]) {
        return Ok(LitBool::new(true, Span::call_site()));
    }
    input.parse::<Token![=]>()?;
    let message =
        |error: Error| Error::new(error.span(), format!("`{name}` must be `true` or `false`"));
    input.parse().map_err(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::ToTokens;

    fn error(text: &str) -> String {
        syn::parse_str::<Options>(text).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn options_are_read_in_any_order() {
        let text = "crate = crate::inner::asyncio, handle_sigterm, debug = false, virtual_time,";
        let options: Options = syn::parse_str(text).unwrap();
        assert_eq!(options.krate().to_token_stream().to_string(), "crate :: inner :: asyncio");
        let wanted = quote!(
            crate::inner::asyncio::Runner::new()
                .debug(false)
                .virtual_time(true)
                .handle_sigterm(true)
        );
        assert_eq!(options.runner().to_string(), wanted.to_string());
    }

    #[test]
    fn without_options_the_facade_is_asyncio_and_the_rest_undecided() {
        let options: Options = syn::parse_str("").unwrap();
        assert_eq!(options.krate().to_token_stream().to_string(), ":: asyncio");
        assert_eq!(options.runner().to_string(), quote!(::asyncio::Runner::new()).to_string());
    }

    #[test]
    fn tokio_is_around_the_runner() {
        let options: Options = syn::parse_str("debug, tokio").unwrap();
        let wanted =
            quote!(::asyncio_tokio::RunnerExt::tokio(::asyncio::Runner::new().debug(true), true));
        assert_eq!(options.runner().to_string(), wanted.to_string());
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            error("flavour = 1"),
            "there is no option `flavour`: expected `debug`, `handle_sigterm`, `virtual_time`, \
             `tokio` or `crate`"
        );
        assert_eq!(error("debug = 1"), "`debug` must be `true` or `false`");
        assert_eq!(error("debug, debug"), "`debug` is given twice");
        assert_eq!(error("debug = true virtual_time"), "expected `,`");
        assert_eq!(error("crate"), "expected `=`");
    }
}
