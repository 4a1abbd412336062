//! Prints the public API of a crate, one item per line, from the JSON that the nightly rustdoc generates. It is a
//! separate package, so that `cargo xtask` itself builds without its dependencies.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: asyncio-listing RUSTDOC.json");
        return ExitCode::FAILURE;
    };
    let api = public_api::Builder::from_rustdoc_json(path)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build();
    match api {
        Ok(api) => {
            api.items().for_each(|item| println!("{item}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("asyncio-listing: {error}");
            ExitCode::FAILURE
        }
    }
}
