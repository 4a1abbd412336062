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
