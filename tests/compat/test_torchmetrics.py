"""torchmetrics: functional metrics and metric objects, accumulated over batches."""

from compat.programs import needs, same

needs("torchmetrics", "lightning_utilities")


def test_classification(tmp_path):
    same("""
        from torchmetrics import MetricCollection
        from torchmetrics.classification import (
            MulticlassAccuracy, MulticlassAUROC, MulticlassAveragePrecision, MulticlassCalibrationError,
            MulticlassCohenKappa, MulticlassConfusionMatrix, MulticlassF1Score, MulticlassPrecision, MulticlassRecall)
        metrics = MetricCollection([m(num_classes=4) for m in (
            MulticlassAccuracy, MulticlassAUROC, MulticlassAveragePrecision, MulticlassCalibrationError,
            MulticlassCohenKappa, MulticlassConfusionMatrix, MulticlassF1Score, MulticlassPrecision, MulticlassRecall)])
        target = torch.from_numpy(np.random.RandomState(3).randint(0, 4, (3, 32)))
        for i in range(3):
            step = metrics(data(32, 4, seed=i).softmax(-1), target[i])
        numbers.update({"step " + k: v for k, v in step.items()})
        numbers.update(metrics.compute())
        metrics.reset()
    """, tmp_path)


def test_regression_and_aggregation(tmp_path):
    same("""
        import torchmetrics as tm
        found = [tm.MeanSquaredError(), tm.MeanAbsoluteError(), tm.R2Score(), tm.PearsonCorrCoef(),
                 tm.SpearmanCorrCoef(), tm.ExplainedVariance(), tm.CosineSimilarity(), tm.KendallRankCorrCoef()]
        for metric in found:
            shape = (16, 3) if isinstance(metric, tm.CosineSimilarity) else (16,)
            for i in range(2):
                metric.update(data(*shape, seed=i), data(*shape, seed=i) + data(*shape, seed=i + 5))
            numbers[type(metric).__name__] = metric.compute()
        mean = tm.MeanMetric()
        mean.update(2.0), mean.update(torch.tensor([1.0, 6.0]))
        numbers["mean"] = mean.compute()
    """, tmp_path)


def test_images_and_text(tmp_path):
    same("""
        from torchmetrics.functional.image import (
            peak_signal_noise_ratio, structural_similarity_index_measure, total_variation)
        from torchmetrics.functional.text import perplexity, word_error_rate
        x = data(2, 3, 24, 24).sigmoid()
        y = (x + 0.1 * data(2, 3, 24, 24, seed=2)).requires_grad_()
        ssim = structural_similarity_index_measure(y, x, data_range=1.0)
        ssim.backward()
        numbers.update(ssim=ssim, grad=y.grad, psnr=peak_signal_noise_ratio(y, x, data_range=1.0),
                       variation=total_variation(x), wer=word_error_rate(["a b c"], ["a x c d"]),
                       perplexity=perplexity(data(2, 8, 5), torch.arange(16).reshape(2, 8) % 5))
    """, tmp_path)
