"""The viewer's parts, put together around one window."""

from __future__ import annotations

import time
from dataclasses import dataclass

from donerf import Renderer, Scene
from viewer.capture import save_capture
from viewer.fly import FlyLoop
from viewer.ground_truth import GroundTruth
from viewer.overlay import Overlay
from viewer.preferences import Preferences
from viewer.session import Session, SessionSettings
from viewer.surface import Surface
from viewer.transfer import TransferLadder
from viewer.workbench import BenchOptions, Workbench
from viewer.worker import RenderWorker, Result


@dataclass(frozen=True)
class CockpitOptions:
    """What the parts start with."""

    settings: SessionSettings
    preferences: Preferences
    bench: BenchOptions
    transfer: TransferLadder
    truth: GroundTruth | None = None


class Cockpit:
    """A session and what it takes to show it. Belongs to the thread of the window.

    session, worker, bench, loop:  the parts
    """

    def __init__(
        self,
        window: Surface,
        overlay: Overlay,
        scene: Scene,
        renderer: Renderer,
        options: CockpitOptions,
    ) -> None:
        """Put the parts together and start the threads; `close` ends them, and the window.

        renderer:  has the scene loaded; whoever made it closes it
        """
        self._window = window
        self._overlay = overlay
        self._options = options
        folder, truth = options.bench.folder, options.truth
        self.session = Session(
            scene.cells[0].cell,
            options.settings,
            window.framebuffer_size,
            time.monotonic(),
            options.preferences,
            truth,
        )
        self.worker = RenderWorker(
            renderer,
            scene,
            announce=window.wake,
            save=lambda picture, scene: save_capture(picture, folder, scene, self.worker.info),
            truth=truth,
            transfer=options.transfer,
        )
        shown = (scene, renderer.info)
        self.bench = Workbench(self.session, self.worker, shown, window, options.bench)
        self.loop = FlyLoop(
            window, self.session, self.worker, self.bench, options.transfer, overlay
        )

    def close(self) -> list[Result]:
        """End everything; returns what became of the last requests."""
        results = self.end_threads()
        self.loop.release()
        self._overlay.close()
        self._window.destroy()
        return results

    def end_threads(self) -> list[Result]:
        """End what goes on beside the window, which may be lost already.

        Pictures that were asked for are saved; a film that is not complete leaves no file.
        """
        # The worker wakes the window, so it has to end before that.
        self.worker.close()
        self.bench.close()
        return self.worker.results()
