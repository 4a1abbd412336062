//! A program that `tests/tests/main.rs` runs: its argument says which `main` it has.

use asyncio::prelude::*;
use std::{future::pending, process::ExitCode, time::Duration};

/// Each variant has a different `main`.
macro_rules! programs {
    ($($name:ident $(($option:ident))? -> $output:ty $body:block)+) => {
        $(mod $name {
            #[allow(unused_imports)] // Not every program needs them.
            use super::*;
            #[asyncio::main($($option)?)]
            pub(super) async fn main() -> $output $body
        })+

        fn main() -> ExitCode {
            match std::env::args().nth(1).as_deref() {
                $(Some(stringify!($name)) => $name::main(),)+
                other => panic!("no program is called {other:?}"),
            }
        }
    };
}

programs! {
    unit -> () {
        println!("debug: {}", asyncio::get_running_loop().is_ok_and(|l| l.get_debug()));
    }

    exit_code -> ExitCode {
        ExitCode::from(7)
    }

    error -> asyncio::Result<()> {
        Err(asyncio::Error::value("not a number"))
    }

    error_that_came_in -> asyncio::Result<()> {
        "x".parse::<i32>()?;
        Ok(())
    }

    error_of_its_own -> Result<(), String> {
        Err("broken".into())
    }

    cancelled -> asyncio::Result<()> {
        Err(asyncio::CancelledError::default().into())
    }

    panic -> () {
        panic!("fell over")
    }

    interrupted -> asyncio::Result<()> {
        clean_up().await
    }

    terminated(handle_sigterm) -> asyncio::Result<()> {
        clean_up().await
    }

    interrupted_boxed -> Result<(), Box<dyn std::error::Error>> {
        Ok(clean_up().await?)
    }

    swallows_the_interrupt -> asyncio::Result<()> {
        let _ = clean_up().await;
        Ok(())
    }
}

/// Waits forever. After a cancellation it takes a while to end.
async fn clean_up() -> asyncio::Result<()> {
    println!("ready");
    let outcome = asyncio::cancellable(pending::<asyncio::Result<()>>()).await;
    asyncio::timeout(None).with(async |_| asyncio::sleep(Duration::from_millis(1)).await).await?;
    println!("cleaned up");
    outcome
}
