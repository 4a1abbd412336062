//! The results instead of the coroutines.

fn main() {
    let _ = asyncio::gather!(1, 2);
}
