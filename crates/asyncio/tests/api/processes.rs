//! Processes and their pipes.

use super::*;
use asyncio::subprocess::PIPE;

#[asyncio::test]
async fn give_their_pipes_or_say_how_to_get_them() -> Result<()> {
    let mut cat = create_subprocess_exec("cat", ()).stdin(PIPE).stdout(PIPE).await?;
    cat.stdin()?.write("line\n");
    assert_eq!(cat.stdout()?.readline().await?, "line\n");
    let error = cat.stderr().unwrap_err();
    assert!(error.to_string().contains("start the process with `.stderr(PIPE)`"), "{error}");
    cat.send_signal(signals::SIGKILL)?;
    assert_eq!(cat.wait().await?, -signals::SIGKILL);
    Ok(())
}

#[asyncio::test]
async fn take_text_and_bytes_as_their_input() -> Result<()> {
    async fn cat() -> Result<subprocess::Process> {
        create_subprocess_exec("cat", ()).stdin(PIPE).stdout(PIPE).await
    }
    let borrowed = vec![b'x'; 3];
    assert_eq!(cat().await?.communicate("text").await?.stdout, b"text");
    assert_eq!(cat().await?.communicate(b"bytes").await?.stdout, b"bytes");
    assert_eq!(cat().await?.communicate(&borrowed).await?.stdout, borrowed);
    assert_eq!(cat().await?.communicate(format!("{}", 7)).await?.stdout, b"7");
    assert_eq!(cat().await?.communicate(Bytes::from_static(b"shared")).await?.stdout, b"shared");
    assert_eq!(cat().await?.communicate(None).await?.stdout, b"");
    Ok(())
}
