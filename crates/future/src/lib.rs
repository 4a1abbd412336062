//! asyncio's Future: a result that somebody else will set.
