//! `loop.run_in_executor(f)`, without the executor.

fn main() {
    let event_loop = asyncio::get_running_loop().unwrap();
    let _ = event_loop.run_in_executor(|| 5);
}
