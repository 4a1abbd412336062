//! Children of a process that changes its environment meanwhile. In a process of its own: no other
//! test may read the environment past the standard library.

mod common;

use asyncio_core::Result;
use asyncio_subprocess::{PIPE, create_subprocess_exec};
use common::run;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

fn set(name: &str, value: Option<&str>) {
    // SAFETY: everything in this process reads the environment through the standard library.
    unsafe {
        match value {
            Some(value) => std::env::set_var(name, value),
            None => std::env::remove_var(name),
        }
    }
}

#[test]
fn a_child_has_the_whole_environment_although_a_thread_changes_it() {
    for n in 0..50 {
        set(&format!("FIXED_{n}"), Some("value"));
    }
    let ends = AtomicBool::new(false);
    let change = || {
        for round in 0_usize.. {
            if ends.load(Ordering::Relaxed) {
                return;
            }
            // More variables than there is room for, and fewer again.
            for n in 0..200 {
                set(&format!("CHANGING_{n}"), Some(&"x".repeat(round % 100)));
            }
            for n in 0..200 {
                set(&format!("CHANGING_{n}"), None);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(change);
        let wrong = std::panic::catch_unwind(|| run(count_wrong()));
        ends.store(true, Ordering::Relaxed);
        if let Err(panic) = wrong {
            std::panic::resume_unwind(panic);
        }
    });
}

async fn count_wrong() -> Result<()> {
    let mut wrong = 0;
    for _ in 0..200 {
        let mut env = create_subprocess_exec("env", ()).stdout(PIPE).await?;
        let output = env.communicate(None).await?.stdout;
        let text = String::from_utf8_lossy(&output);
        let fixed = text.lines().filter(|line| line.starts_with("FIXED_"));
        let is_whole = |line: &str| {
            line.ends_with("=value") || line.starts_with("CHANGING_") || !line.starts_with("FIXED")
        };
        wrong += i32::from(fixed.count() != 50 || !text.lines().all(is_whole));
    }
    assert_eq!(wrong, 0, "children with another environment");
    Ok(())
}
