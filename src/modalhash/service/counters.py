"""Counters of requests in the text format of Prometheus; they hold routes and statuses, never what was asked."""

from __future__ import annotations

import threading
from collections import Counter

EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Counters:
    """Requests by method, route and status, and how long they took."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one answered request."""
        with self._lock:
            self._requests[method, route, status] += 1
            self._seconds[route] += seconds  # type: ignore[assignment]
            for edge in EDGES:
                if seconds <= edge:
                    self._buckets[route, edge] += 1

    def refuse(self, why: str) -> None:
        """Note a request that was refused at the door."""
        with self._lock:
            self._refused[why] += 1

    def text(self, gauges: dict[str, float]) -> str:
        """All counters, and gauges by name, as Prometheus reads them."""
        with self._lock:
            lines = ["# TYPE modalhash_requests_total counter"]
            for (method, route, status), count in sorted(self._requests.items()):
                labels = f'method="{method}",route="{route}",status="{status}"'
                lines.append(f"modalhash_requests_total{{{labels}}} {count}")
            lines.append("# TYPE modalhash_refused_total counter")
            lines += [f'modalhash_refused_total{{why="{why}"}} {n}' for why, n in sorted(self._refused.items())]
            lines.append("# TYPE modalhash_request_seconds histogram")
            for route in sorted(self._seconds):
                total = sum(count for (_, own, _), count in self._requests.items() if own == route)
                name = "modalhash_request_seconds"
                lines += [f'{name}_bucket{{route="{route}",le="{e}"}} {self._buckets[route, e]}' for e in EDGES]
                lines.append(f'{name}_bucket{{route="{route}",le="+Inf"}} {total}')
                lines.append(f'{name}_sum{{route="{route}"}} {self._seconds[route]:.6f}')
                lines.append(f'{name}_count{{route="{route}"}} {total}')
        for name, value in {"in_flight": self.in_flight, **gauges}.items():
            lines += [f"# TYPE modalhash_{name} gauge", f"modalhash_{name} {value:g}"]
        return "\n".join(lines) + "\n"
