"""The workloads for CPython's event loop and for uvloop: python3 -c … LOOP WORKLOAD SIZE.

Prints the CPU time of one operation in nanoseconds, as the median of five runs after a first.
Fewer operations than in Rust: they take fifty times as long.

The workloads `streams` and `transports` are servers that echo: they print their address, and go on
until they are killed.
"""

import asyncio
import os
import socket
import sys
import time

HOUR = 3600
TOTAL = 10_000
PROCESSES = 200


def batches(size):
    return max(TOTAL // size, 1)


async def number(n):
    return n


async def spawn(size):
    for _ in range(batches(size)):
        tasks = [asyncio.create_task(number(n)) for n in range(size)]
        for n, task in enumerate(tasks):
            assert await task == n
    return batches(size) * size


async def passes(size):
    async def work():
        for _ in range(batches(size)):
            await asyncio.sleep(0)

    await asyncio.gather(*(work() for _ in range(size)))
    return batches(size) * size


async def cancel(size):
    for _ in range(batches(size)):
        tasks = [asyncio.create_task(asyncio.sleep(HOUR)) for _ in range(size)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
    return batches(size) * size


async def timeout(size):
    for _ in range(TOTAL):
        async with asyncio.timeout(HOUR):
            await asyncio.sleep(0)
    return TOTAL


async def timers(size):
    loop = asyncio.get_running_loop()
    for _ in range(batches(size)):
        handles = [loop.call_later(HOUR, print) for _ in range(size)]
        for handle in handles:
            handle.cancel()
        await asyncio.sleep(0)
    return batches(size) * size


async def firing(size):
    least = size * 10e-6
    delays = [least + n * 0x9E3779B97F4A7C15 % 200_000_000 / 1e9 for n in range(size)]
    await asyncio.gather(*map(asyncio.sleep, delays))
    return size


async def lock(size):
    lock = asyncio.Lock()
    for _ in range(TOTAL):
        async with lock:
            pass
    return TOTAL


async def line(size):
    lock = asyncio.Lock()

    async def work():
        for _ in range(batches(size)):
            async with lock:
                await asyncio.sleep(0)

    await asyncio.gather(*(work() for _ in range(size)))
    return batches(size) * size


async def pingpong(size):
    ping, pong = asyncio.Queue(1), asyncio.Queue(1)

    async def other():
        for _ in range(TOTAL):
            await pong.put(await ping.get() + 1)

    task = asyncio.create_task(other())
    n = 0
    for _ in range(TOTAL):
        await ping.put(n)
        n = await pong.get()
    await task
    assert n == TOTAL
    return TOTAL


async def bounded(size):
    queue = asyncio.Queue(size)

    async def produce():
        for n in range(TOTAL):
            await queue.put(n)

    task = asyncio.create_task(produce())
    for n in range(TOTAL):
        assert await queue.get() == n
    await task
    return TOTAL


async def process(size):
    for _ in range(PROCESSES):
        process = await asyncio.create_subprocess_exec("/bin/true")
        assert await process.wait() == 0
    return PROCESSES


async def output(size):
    for _ in range(PROCESSES):
        process = await asyncio.create_subprocess_exec(
            "/bin/echo", "hello", stdout=asyncio.subprocess.PIPE
        )
        assert await process.communicate() == (b"hello\n", None)
    return PROCESSES


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def echo(reader, writer):
    while data := await reader.read(16 * 1024):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(workload):
    listener = socket.create_server(("127.0.0.1", 0))
    print("%s:%d" % listener.getsockname(), flush=True)
    if workload == "streams":
        server = await asyncio.start_server(echo, sock=listener)
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, sock=listener)
    await server.serve_forever()


def main():
    loop, workload, size = sys.argv[1:]
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    if workload in ("streams", "transports"):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve(workload))
    work = passes if workload in ("yield", "alone") else globals()[workload]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    figures = []
    with asyncio.Runner(loop_factory=factory) as runner:
        for _ in range(6):
            before = time.process_time_ns()
            done = runner.run(work(int(size)))
            figures.append((time.process_time_ns() - before) / done)
    print(sorted(figures[1:])[2])


main()
