# replaced soon
