//! The attributes asyncio::main and asyncio::test.
