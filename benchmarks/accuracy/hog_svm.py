"""HOG and colour features with an RBF support vector machine: a method without a network.

The features are histograms of oriented gradients (Dalal and Triggs 2005; 9 orientations, 8x8 cells, blocks of 2x2
cells, L2-Hys) and a thumbnail of 4x4 colours. C comes from 5-fold cross-validation on the labelled images.
"""

import numpy as np
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.accuracy.side import Trained, read_task, squares, write_result

ORIENTATIONS, CELLS, BLOCK = 9, 8, 2
C = (0.3, 1.0, 3.0, 10.0, 30.0)


def main() -> None:
    """Run the task in the file named on the command line."""
    task = read_task()
    assert task.image_size
    images, labels = task.labelled()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), SVC()),
        {"svc__C": C},
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
    )
    search.fit(features(squares(images, task.image_size)), labels)
    trained = Trained.now(task, None, f"C {search.best_params_['svc__C']:g}, cross-validated {search.best_score_:.3f}")
    predicted = search.predict(features(squares(task.test_images(), task.image_size)))
    write_result(task, trained, ["scikit-learn", "numpy"], predicted)


def features(images: np.ndarray) -> np.ndarray:
    """uint8 [images, size, size, 3] -> float32 [images, features]."""
    pixels = images.astype(np.float32) / 255
    n, size = pixels.shape[:2]
    thumbnails = pixels.reshape(n, 4, size // 4, 4, size // 4, 3).mean(axis=(2, 4))
    return np.concatenate([hog(pixels), thumbnails.reshape(n, -1)], axis=1)


def hog(pixels: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients. The channel with the largest gradient counts at each pixel."""
    n, size = pixels.shape[:2]
    assert size % CELLS == 0, f"the image size must be a multiple of {CELLS}, got {size}"
    down, right = np.gradient(pixels, axis=(1, 2))
    strength = np.hypot(down, right)
    strongest = strength.argmax(axis=3, keepdims=True)
    strength, down, right = (
        np.take_along_axis(values, strongest, axis=3)[..., 0] for values in (strength, down, right)
    )
    place = (np.arctan2(down, right) / np.pi % 1) * ORIENTATIONS
    lower = np.floor(place)
    share = place - lower
    first = lower.astype(int) % ORIENTATIONS
    bins = np.zeros((*strength.shape, ORIENTATIONS), np.float32)
    np.put_along_axis(bins, first[..., None], (strength * (1 - share))[..., None], axis=3)
    np.put_along_axis(bins, ((first + 1) % ORIENTATIONS)[..., None], (strength * share)[..., None], axis=3)
    cell = size // CELLS
    cells = bins.reshape(n, CELLS, cell, CELLS, cell, ORIENTATIONS).sum(axis=(2, 4))
    blocks = np.lib.stride_tricks.sliding_window_view(cells, (BLOCK, BLOCK), axis=(1, 2))
    blocks = blocks.reshape(n, (CELLS - BLOCK + 1) ** 2, -1)
    return _unit(np.minimum(_unit(blocks), 0.2)).reshape(n, -1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt((vectors**2).sum(axis=-1, keepdims=True) + 1e-6)


if __name__ == "__main__":
    main()
