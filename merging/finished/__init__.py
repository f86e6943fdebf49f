"""What is asked of a model before and after it is written as a folder, and the folder in another format. No torch; programs that need it
run apart.
"""
