//! `process.communicate(input=b"…")`: the input is written as it is, without `Some`.

fn main() {
    asyncio::run(async {
        let mut process = asyncio::create_subprocess_exec("cat", ["-"]).await?;
        process.communicate(Some("text")).await
    })
    .unwrap();
}
