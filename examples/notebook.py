# %% [markdown]
# # The whole job in a notebook
#
# This file is a notebook in the percent format: VS Code, PyCharm and Jupytext open it as cells.
# It needs a project: `thaw.Project.create("flowers", images="photos")` creates one.

# %%
import os

import thaw

project = thaw.Project(os.environ.get("THAW_PROJECT", "."))
project

# %% [markdown]
# ## Parameters
#
# `params` are the values of `params.yaml`. `set` changes the file; comments and order stay.

# %%
print("backbone:", project.params.backbone.name)
project.set({"warmup_head.epochs": 4, "unfreeze.epochs": 3})

# %% [markdown]
# ## Data
#
# The stage `prepare` checks the images, finds duplicates and makes the splits.

# %%
project.run("prepare")
images = project.prepared
images.groupby(["split", "label"]).size().unstack("split")

# %% [markdown]
# ## Train
#
# Only stages whose inputs changed run. An interrupted run continues where it stopped.

# %%
result = project.run()
print(f"test accuracy {result.metrics['accuracy']:.3f}, {result.model_uri}, run {result.run_id}")

# %% [markdown]
# ## Promote
#
# The gate compares the new version with the champion. The first version becomes the champion
# when it is registered.

# %%
status = project.status()
if status.loc["champion", "version"] != result.version:
    promotion = project.promote()
    print(promotion.report)
project.status()[["version", "accuracy", "gate"]]

# %% [markdown]
# ## Predict
#
# Images are paths, bytes, PIL images or arrays.

# %%
model = project.load_model("champion")
test_images = images[images["split"] == "test"]
predictions = model.predict(project.images("test"))
accuracy = (predictions["label"].to_numpy() == test_images["label"].to_numpy()).mean()
print(f"{model}: accuracy on the test images {accuracy:.3f}")
