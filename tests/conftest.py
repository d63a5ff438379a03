"""What all tests share: the environment in which fedsim itself runs."""

from fedsim.environment import prepare

prepare()
